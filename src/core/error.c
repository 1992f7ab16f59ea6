/*
 * error.c - the messages of error.h's list.
 */
#include "error.h"

const char *error_message(enum error error) {
    static const char *const messages[] = {
        [ERROR_NONE] = "",
#define X(name, code, sentence) [name] = code " " sentence,
        ERROR_LIST(X)
#undef X
    };
    return messages[error];
}
