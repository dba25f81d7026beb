/* Steps: which records there are for a key, and whether this run records, follows or just runs. */
#include "trace/trace.h"

static void step_free(tide_context *cx, tide_step *s) {
    for (int i = 0; i < s->ntrace; i++) tide_record_free(cx, s->trace[i]);
    tide_release(cx, s, sizeof *s + s->nkey);
}

void tide_step_forget(tide_context *cx, const void *prefix, size_t nprefix) {
    tide_trace *tr = cx->trace;
    if (!tr) return;
    for (tide_step **at = &tr->steps; *at;) {
        tide_step *s = *at;
        if (s == tr->step || s->nkey < nprefix || memcmp(s->key, prefix, nprefix)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        step_free(cx, s);
    }
}

static void closing(tide_context *cx) {
    tide_trace *tr = cx->trace;
    cx->tensors->epoch = 0; /* closed within a step */
    tide_record_free(cx, tr->record);
    for (tide_step *s = tr->steps, *next; s; s = next) {
        next = s->next;
        step_free(cx, s);
    }
    tide_release(cx, tr->undo, (size_t)tr->cundo * sizeof *tr->undo);
    tide_release(cx, tr->pending, (size_t)tr->cpending * sizeof *tr->pending);
    tide_release(cx, tr, sizeof *tr);
    cx->trace = NULL;
}

static tide_status open_trace(tide_context *cx) {
    if (cx->trace) return TIDE_OK;
    tide_status e = tide_tape_open(cx);
    if (e) return e;
    tide_trace *tr = cx->trace = tide_alloc0(cx, sizeof *tr);
    if (!tr) return TIDE_EMEM;
    cx->door->trace =
        (tide_observer){tr, tide_follow_before, tide_record_after, tide_record_enter, tide_record_leave};
    cx->tensors->sync = tide_follow_sync;
    cx->tensors->gone = tide_record_gone;
    cx->tape->touch = tide_record_touch;
    cx->closing[cx->nclosing++] = closing;
    return TIDE_OK;
}

static tide_step *find(tide_context *cx, const void *key, size_t nkey) {
    tide_trace *tr = cx->trace;
    tide_step **at = &tr->steps;
    for (; *at; at = &(*at)->next) {
        tide_step *s = *at;
        if (s->nkey != nkey || memcmp(s->key, key, nkey)) continue;
        *at = s->next; /* to the front */
        s->next = tr->steps;
        return tr->steps = s;
    }
    tide_step *s = tide_alloc0(cx, sizeof *s + nkey);
    if (!s) return NULL;
    s->key = (uint8_t *)(s + 1);
    s->nkey = nkey;
    memcpy(s->key, key, nkey);
    s->next = tr->steps;
    return tr->steps = s;
}

tide_status tide_step_begin(tide_context *cx, const void *key, size_t nkey) {
    tide_status e = tide_pending(cx);
    if (!e) e = open_trace(cx);
    if (e) return e;
    tide_trace *tr = cx->trace;
    if (tr->depth++ > 0) return TIDE_OK; /* a step inside a step is part of it */
    tide_step *s = tr->step = find(cx, key, nkey);
    if (!s) return tr->depth = 0, TIDE_EMEM;
    s->runs++;
    tr->position = tr->nundo = 0;
    tr->mode = TRACE_OFF;
    cx->tensors->epoch = ++tr->epochs;
    if (s->failures >= TIDE_GIVE_UP) return TIDE_OK;
    if (s->runs > TIDE_WARMUP) {
        tr->ncandidate = 0;
        for (int i = 0; i < s->ntrace; i++)
            if (s->trace[i]->usable) tr->candidate[tr->ncandidate++] = s->trace[i];
        if (tr->ncandidate) {
            tr->mode = TRACE_FOLLOW;
            return TIDE_OK;
        }
    }
    tr->record = tide_record_new(cx);
    if (!tr->record) return tr->depth = 0, TIDE_EMEM;
    tr->mode = TRACE_RECORD;
    return TIDE_OK;
}

/* Keeps a finished record; the first run's is only a warm-up. */
static void keep(tide_context *cx, tide_step *s, tide_record *r) {
    tide_trace *tr = cx->trace;
    tr->count.recordings++;
    if (!r->usable) tr->refused = r->why;
    if (s->runs < TIDE_WARMUP || !r->usable) {
        if (s->runs > TIDE_WARMUP) s->failures++;
        tide_record_free(cx, r);
        return;
    }
    if (s->ntrace == TIDE_MAXTRACES) {
        tide_record_free(cx, s->trace[0]);
        memmove(s->trace, s->trace + 1, (TIDE_MAXTRACES - 1) * sizeof *s->trace);
        s->ntrace--;
    }
    s->trace[s->ntrace++] = r;
}

static void done(tide_context *cx, const tide_record *launched) {
    tide_trace *tr = cx->trace;
    for (int64_t i = 0; i < tr->npending; i++) {
        tr->pending[i]->pending = 0;
        tide_storage_free(cx, tr->pending[i]);
    }
    for (int64_t i = 0; i < tr->nundo; i++) tide_free(tr->undo[i].leaf);
    tide_follow_end(cx, launched);
    tr->npending = tr->nundo = 0;
    tr->mode = TRACE_OFF;
    tr->step = NULL;
    tr->record = NULL;
    tr->depth = 0;
    cx->tensors->epoch = 0;
}

/* The record whose calls have all been matched and whose results are what is returned now. */
static tide_record *complete(tide_context *cx, tide_tensor *const *out, int nout) {
    tide_trace *tr = cx->trace;
    for (int c = 0; c < tr->ncandidate; c++) {
        tide_record *r = tr->candidate[c];
        bool fits = r->nnode == tr->position;
        for (int i = 0; i < nout && fits; i++)
            if (out[i] && out[i]->epoch == cx->tensors->epoch) {
                const tide_value *v = &r->value[out[i]->value];
                fits = v->kind != VALUE_MADE || v->output;
            }
        if (!fits) continue;
        tr->candidate[c] = tr->candidate[0];
        return tr->candidate[0] = r;
    }
    return NULL;
}

/* Handles of temporaries lose their data: the next run writes over it. */
static void bury(tide_record *r) {
    for (int64_t v = 1; v < r->nvalue; v++)
        if (r->value[v].kind == VALUE_MADE && r->value[v].tensor && !r->value[v].output)
            r->value[v].tensor->flags |= TIDE_DEAD;
}

tide_status tide_step_end(tide_context *cx, tide_tensor **out, int nout) {
    tide_trace *tr = cx->trace;
    if (!tr || tr->depth == 0) return tide_fail(cx, TIDE_EARG, "no step has begun");
    if (--tr->depth > 0) return TIDE_OK;
    tide_status e = TIDE_OK;
    tide_step *s = tr->step;
    tide_record *r = NULL;
    if (tr->mode == TRACE_FOLLOW) {
        r = complete(cx, out, nout);
        if (!r) e = tide_follow_leave(cx);
    }
    if (r) {
        e = tide_launch(cx, r);
        bury(r);
        if (!e) s->failures = 0;
    } else if (tr->mode == TRACE_RECORD) {
        tr->mode = TRACE_OFF;
        /* what the host's collector would free does not count as alive */
        if (tr->record->usable && s->runs >= TIDE_WARMUP && tide_can_press(cx)) {
            tr->mode = TRACE_RECORD;
            tide_press(cx, cx->tensors->idle);
            tr->mode = TRACE_OFF;
        }
        if (e)
            tide_record_free(cx, tr->record);
        else
            tide_record_finish(cx, tr->record, out, nout), keep(cx, s, tr->record);
        tr->record = NULL;
    }
    done(cx, r);
    return e;
}

tide_status tide_step_abort(tide_context *cx) {
    tide_trace *tr = cx->trace;
    if (!tr || tr->depth == 0) return TIDE_OK;
    if (--tr->depth > 0) return TIDE_OK;
    tide_status code = cx->error; /* what the script was told: running the prefix must not change it */
    char text[sizeof cx->error_text];
    memcpy(text, cx->error_text, sizeof text);
    cx->error = TIDE_OK;
    tide_status e = tide_follow_leave(cx);
    if (code) cx->error = code, memcpy(cx->error_text, text, sizeof text);
    tide_record_free(cx, tr->record);
    done(cx, NULL);
    return e;
}

void tide_count(tide_context *cx, tide_counters *out) {
    memset(out, 0, sizeof *out);
    tide_memory_stats m;
    tide_memory(cx, &m);
    out->allocs = m.allocs;
    out->threads = (uint64_t)tide_most_threads(cx);
    if (cx->door) {
        out->calls = cx->door->count.calls;
        out->kernels = cx->door->count.kernels;
        out->programs = cx->door->count.variants;
    }
    if (cx->trace) {
        out->matched = cx->trace->count.matched;
        out->launches = cx->trace->count.launches;
        out->deopts = cx->trace->count.deopts;
        out->recordings = cx->trace->count.recordings;
        out->refused = cx->trace->refused;
    }
}
