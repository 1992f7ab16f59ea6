/*
 * test_error.c - what clients are told.
 */
#include "support.h"

#include "error.h"

#include <limits.h>

static const enum error errors[] = {
#define X(name, code, sentence) name,
    ERROR_LIST(X)
#undef X
};

#define ERRORS (sizeof errors / sizeof *errors)

static const long long limits[] = {0, 1, 3153600000, LLONG_MAX, LLONG_MIN};

#define LIMITS (sizeof limits / sizeof *limits)

static void every_message_is_a_code_of_capitals_and_a_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < ERRORS; i++) {
        char message[ERROR_MESSAGE_SIZE];
        error_message(message, errors[i], 42);
        size_t code_len = strspn(message, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (code_len < 3 || message[code_len] != ' ' || strlen(message + code_len + 1) < 10)
            fail_msg("no code, or no sentence after it: \"%s\"", message);
    }
}

static void every_message_is_one_line_and_fits_with_any_limit(void **state) {
    (void)state;
    struct fence fence = fence_create(ERROR_MESSAGE_SIZE);
    char *message = (char *)fence.end - ERROR_MESSAGE_SIZE;
    for (size_t i = 0; i < ERRORS; i++)
        for (size_t j = 0; j < LIMITS; j++) {
            error_message(message, errors[i], limits[j]);
            assert_in_range(strlen(message), 1, ERROR_MESSAGE_SIZE - 2); /* or it was cut */
            for (const char *c = message; *c; c++) assert_in_range(*c, ' ', '~');
        }
    fence_free(fence);
}

/* The placeholder of a sentence's limit is replaced by it, and nothing else in it is one. */
static void a_limit_is_named_where_the_sentence_has_one(void **state) {
    (void)state;
    static const char *const sentences[] = {
#define X(name, code, sentence) sentence,
        ERROR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < ERRORS; i++) {
        char message[ERROR_MESSAGE_SIZE];
        error_message(message, errors[i], 1234567);
        bool has_limit = strstr(sentences[i], "%lld") != NULL;
        assert_int_equal(strstr(message, "1234567") != NULL, has_limit);
        assert_null(strchr(message, '%'));
    }
}

static void no_two_errors_have_the_same_message(void **state) {
    (void)state;
    static char messages[ERRORS][ERROR_MESSAGE_SIZE];
    for (size_t i = 0; i < ERRORS; i++) {
        error_message(messages[i], errors[i], 42);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(messages[i], messages[j]);
    }
}

static void errors_have_the_published_codes(void **state) {
    (void)state;
    static const struct {
        enum error error;
        const char *code;
    } published[] = {
        {ERROR_SIGN_KEY, "ERR "},
        {ERROR_TTL, "ERR "},
        {ERROR_TOKEN_EMPTY, "ERR "},
        {ERROR_NAME, "ERR "},
        {ERROR_DATA, "ERR "},
        {ERROR_TOKEN_FORM, "BADTOKEN "},
        {ERROR_SIGNATURE, "BADSIGNATURE "},
        {ERROR_NO_SESSION, "NOSESSION "},
        {ERROR_NO_PAYLOAD, "NOPAYLOAD "},
        {ERROR_BUSY_TOKEN, "BUSYTOKEN "},
        {ERROR_WRONG_TYPE, "WRONGTYPE "},
        {ERROR_TRY_AGAIN, "TRYAGAIN "},
    };
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        char message[ERROR_MESSAGE_SIZE];
        error_message(message, published[i].error, 42);
        assert_memory_equal(message, published[i].code, strlen(published[i].code));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_a_code_of_capitals_and_a_sentence),
        cmocka_unit_test(every_message_is_one_line_and_fits_with_any_limit),
        cmocka_unit_test(a_limit_is_named_where_the_sentence_has_one),
        cmocka_unit_test(no_two_errors_have_the_same_message),
        cmocka_unit_test(errors_have_the_published_codes),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
