/*
 * test_error.c - what clients are told.
 */
#include "support.h"

#include "error.h"

static const enum error errors[] = {
#define X(name, code, sentence) name,
    ERROR_LIST(X)
#undef X
};

#define ERRORS (sizeof errors / sizeof *errors)

static void every_message_is_a_code_of_capitals_and_a_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < ERRORS; i++) {
        const char *message = error_message(errors[i]);
        size_t code_len = strspn(message, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (code_len < 3 || message[code_len] != ' ' || strlen(message + code_len + 1) < 10)
            fail_msg("no code, or no sentence after it: \"%s\"", message);
    }
}

static void every_message_fits_on_the_one_line_of_an_error_reply(void **state) {
    (void)state;
    for (size_t i = 0; i < ERRORS; i++)
        for (const char *c = error_message(errors[i]); *c; c++) assert_in_range(*c, ' ', '~');
}

static void no_two_errors_have_the_same_message(void **state) {
    (void)state;
    for (size_t i = 0; i < ERRORS; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(error_message(errors[i]), error_message(errors[j]));
}

static void errors_of_the_token_and_the_session_have_the_published_codes(void **state) {
    (void)state;
    static const struct {
        enum error error;
        const char *code;
    } published[] = {
        {ERROR_SIGN_KEY_EMPTY, "ERR "},
        {ERROR_TTL, "ERR "},
        {ERROR_TOKEN_EMPTY, "ERR "},
        {ERROR_NAME, "ERR "},
        {ERROR_DATA, "ERR "},
        {ERROR_TOKEN_FORM, "BADTOKEN "},
        {ERROR_SIGNATURE, "BADSIGNATURE "},
        {ERROR_NO_SESSION, "NOSESSION "},
        {ERROR_NO_PAYLOAD, "NOPAYLOAD "},
        {ERROR_WRONG_TYPE, "WRONGTYPE "},
    };
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const char *code = published[i].code;
        assert_memory_equal(error_message(published[i].error), code, strlen(code));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_a_code_of_capitals_and_a_sentence),
        cmocka_unit_test(every_message_fits_on_the_one_line_of_an_error_reply),
        cmocka_unit_test(no_two_errors_have_the_same_message),
        cmocka_unit_test(errors_of_the_token_and_the_session_have_the_published_codes),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
