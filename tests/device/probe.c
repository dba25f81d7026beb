/* probe OUT.json [TORCH_SCRIPT]: runs each task in a process of its own, with its own time, and writes one JSON
 * file. The exit status is 0, 3 without a GPU driver, or 1 if the file could not be written. Built by
 * tests/device.sh. */
#include <stdio.h>
#include "probe.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void task_present(void) { json_int("gpus", gpu_count()); }

static const struct {
    const char *name;
    void (*run)(void);
    double seconds;
} tasks[] = {
    {"machine", task_machine, 20},
    {"compile", task_compile, 20},
    {"codes", task_codes, 50},
    {"sticky", task_sticky, 40},
    {"capture", task_capture, 30},
    {"graph", task_graph, 20},
    {"epilogues", task_epilogues, 30},
    {"launch", task_launch, 20},
    {"copy", task_copy, 25},
    {"memory", task_memory, 15},
    {"matmul", task_matmul, 40},
    {"alignment", task_alignment, 30},
    /* asked for by others */
    {"present", task_present, 0},
    {"misaligned", task_misaligned, 0},
};
enum { WITHOUT_GPU = 2, LISTED = 12 }; /* of them: these run without a GPU, too; these are in the file */

/* ---- children ---- */

/* Waits for a child, which is ended (with its process group, where it leads one) when its time is over. */
static const char *wait_child(pid_t pid, double seconds, bool group, int *status, char *text, size_t n) {
    double end = now() + seconds * 1e6;
    pid_t got;
    if (pid < 0) return *status = -1, "not started"; /* a signal to -1 would go to every process */
    while ((got = waitpid(pid, status, WNOHANG)) == 0 && now() < end) usleep(5000);
    if (got == 0) {
        kill(group ? -pid : pid, SIGKILL);
        waitpid(pid, status, 0);
        snprintf(text, n, "ended after %.0f s", seconds);
        *status = -1;
        return text;
    }
    if (got < 0) {
        *status = -1;
        return "lost";
    }
    if (WIFSIGNALED(*status)) {
        snprintf(text, n, "signal %d", WTERMSIG(*status));
        *status = -1;
        return text;
    }
    *status = WEXITSTATUS(*status);
    return NULL;
}

/* Copies the whole lines of a part, separated by commas; a last line that was cut off is dropped. */
static bool copy_lines(const char *part, const char *separator) {
    FILE *in = fopen(part, "r");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    bool any = false;
    if (!in) return false;
    while ((n = getline(&line, &capacity, in)) > 0) {
        if (line[n - 1] != '\n') break;
        line[n - 1] = 0;
        fprintf(json_file, "%s%s%s", any ? "," : "", separator, line);
        any = true;
    }
    free(line);
    fclose(in);
    return any;
}

int json_command(const char *key, char *const *argv, const char *part, double seconds, bool whole) {
    char text[64];
    int status = -1;
    const char *trouble;
    fflush(json_file);
    pid_t pid = fork();
    if (pid == 0) {
        if (whole) setpgid(0, 0);
        execvp(argv[0], argv);
        _exit(127);
    }
    if (pid > 0 && whole) setpgid(pid, pid);
    double from = now();
    trouble = pid < 0 ? strerror(errno) : wait_child(pid, seconds, whole, &status, text, sizeof(text));
    json_open(key, '{');
    if (copy_lines(part, whole ? "\n" : "")) putc(',', json_file);
    json_num("seconds", (now() - from) * 1e-6);
    if (trouble)
        json_text("ended_by", "%s", trouble);
    else if (status)
        json_text("ended_by", "exit status %d", status);
    json_close();
    unlink(part);
    return status;
}

static char stem[3900]; /* parts lie beside the file that they become part of */

static void next_part(char *part, size_t n) {
    static int count;
    snprintf(part, n, "%s.%d", stem, count++);
}

int json_child(const char *key, const char *task, double seconds) {
    char part[4000];
    next_part(part, sizeof(part));
    char *argv[] = {"/proc/self/exe", "--task", (char *)task, part, NULL};
    return json_command(key, argv, part, seconds, false);
}

static int run_task(const char *name, const char *part) {
    snprintf(stem, sizeof(stem), "%s", part);
    json_file = fopen(part, "w");
    if (!json_file) return 1;
    for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); i++)
        if (strcmp(tasks[i].name, name) == 0) {
            tasks[i].run();
            return fclose(json_file) != 0;
        }
    if (strncmp(name, "sticky:", 7) == 0)
        task_sticky_one(name + 7);
    else if (!task_alone(name))
        return 2;
    return fclose(json_file) != 0;
}

/* ---- the whole ---- */

static bool
gpu_present(void) { /* asked in a child: this process loads no driver, so that its children may fork well */
    char part[4000], line[64] = "";
    int status;
    next_part(part, sizeof(part));
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "probe", "--task", "present", part, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || wait_child(pid, 30, false, &status, line, sizeof(line)) || status) return false;
    FILE *f = fopen(part, "r");
    bool present =
        f && fgets(line, sizeof(line), f) && strncmp(line, "\"gpus\":", 7) == 0 && atoi(line + 7) > 0;
    if (f) fclose(f);
    unlink(part);
    return present;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--task") == 0) return run_task(argv[2], argv[3]);
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: probe OUT.json [TORCH_SCRIPT]\n");
        return 2;
    }
    char name[4000], part[4000];
    snprintf(stem, sizeof(stem), "%s.part", argv[1]);
    snprintf(name, sizeof(name), "%s.new", argv[1]);
    json_file = fopen(name, "w");
    if (!json_file) {
        perror(name);
        return 1;
    }
    bool present = gpu_present();
    double end = now() + 170e6; /* PyTorch's part has two more minutes */
    json_open(NULL, '{');
    json_int("format", 1);
    json_int("cuda_headers", CUDA_VERSION);
    if (!present) json_text("skipped", "no GPU driver");
    for (int i = 0; i < (present ? LISTED : WITHOUT_GPU); i++) {
        double left = (end - now()) * 1e-6, seconds = tasks[i].seconds < left ? tasks[i].seconds : left;
        fprintf(stderr, "probe: %s\n", tasks[i].name);
        next_part(part, sizeof(part));
        char *child[] = {"/proc/self/exe", "--task", (char *)tasks[i].name, part, NULL};
        if (seconds > 1)
            json_command(tasks[i].name, child, part, seconds, true);
        else {
            json_open(tasks[i].name, '{');
            json_text("error", "no time left");
            json_close();
        }
    }
    if (present && argc == 3) {
        fprintf(stderr, "probe: torch\n");
        next_part(part, sizeof(part));
        char *child[] = {"python3", argv[2], part, "105", NULL};
        json_command("torch", child, part, 120, true);
    }
    json_close();
    if (fclose(json_file) || rename(name, argv[1])) {
        perror(argv[1]);
        return 1;
    }
    if (!present) fprintf(stderr, "skipped: no GPU driver\n");
    return present ? 0 : 3;
}
