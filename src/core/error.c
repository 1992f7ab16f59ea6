/*
 * error.c - the messages of error.h's list.
 */
#include "error.h"

#include <stdio.h>

void error_message(char message[ERROR_MESSAGE_SIZE], enum error error, long long limit) {
    static const char *const sentences[] = {[ERROR_NONE] = "",
#define X(name, code, sentence) [name] = code " " sentence,
                                            ERROR_LIST(X)
#undef X
    };
    snprintf(message, ERROR_MESSAGE_SIZE, sentences[error], limit);
}
