/* Plain values on their way between Lua states: nil, booleans, numbers, strings, tables of these without cycles
 * and metatables, and tensors, whose elements are copied once, by the sender. */
#ifndef TIDE_LUA_MESSAGE_H
#define TIDE_LUA_MESSAGE_H

#include "bindings/lua_tide.h"

typedef struct tide_message {
    struct tide_message *next;
    bool failed; /* it is the text of an error */
    char *bytes;
    size_t size, room, at;
    void **tensor; /* elements of those not yet taken out */
    size_t ntensor, tensor_room;
} tide_message;

tide_message *tide_message_new(void); /* NULL: no memory */
void tide_message_free(tide_message *m);
/* Appends the value at i; raises an error that begins with `who` when it cannot be sent. */
void tide_message_put(lua_State *L, tide_lua *s, tide_message *m, int i, const char *who);
bool tide_message_put_text(tide_message *m, const char *text, size_t n); /* false: no memory */
/* Pushes the next value; tensors belong to the state's context, without another copy. */
void tide_message_take(lua_State *L, tide_lua *s, tide_message *m);

#endif
