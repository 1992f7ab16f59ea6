/*
 * payloads.c - the commands on the payloads of a session.
 */
#include "config.h"
#include "effects.h"
#include "handlers.h"
#include "options.h"
#include "stats.h"
#include "type.h"

static void reply_data(RedisModuleCtx *ctx, const struct payload *payload) {
    RedisModule_ReplyWithStringBuffer(ctx, (const char *)payload->data, payload->data_len);
}

/* Finds the payload of that name, or notes the error. */
static inline bool find_payload(struct call *call, struct bytes name, struct payload *payload) {
    return call_find(call, name, payload) || call_error(call, ERROR_NO_PAYLOAD);
}

/* Sets payloads that were checked, names and data by turns, and ends the call. One alone may have
 * a life of its own. */
static int set_all(struct call *call, RedisModuleString **payloads, int payloads_len,
                   long long life_ms, const char *event) {
    if (!call_change(call)) return call_refuse(call);
    call_sweep(call, (size_t)payloads_len / 2);
    long long ends_at = life_ms > 0 ? call_now(call) + life_ms : 0;
    for (int i = 0; i < payloads_len; i += 2)
        type_put(call->session, payloads[i], payloads[i + 1], ends_at);
    struct effects_change change = call_effect(call);
    effects_pset(call->ctx, &change, (struct strings){payloads, (size_t)payloads_len}, ends_at);
    call_changed(call, event);
    stats.payload_writes += (unsigned long long)payloads_len / 2;
    return call_ok(call);
}

/* Deletes a payload that is there, of a call about to change. */
static void delete_named(struct call *call, RedisModuleString *arg, const char *event) {
    struct bytes name = server_bytes(arg);
    call_sweep(call, 0);
    session_delete(call->session, name.at, name.len);
    struct effects_change change = call_effect(call);
    effects_pdel(call->ctx, &change, arg);
    call_changed(call, event);
    stats.payload_writes++;
}

/* Whether the condition holds that a call was given, about the payload of that name. */
static bool condition_holds(struct call *call, struct bytes name, const struct options *options) {
    unsigned condition = options->given & OPTIONS_OF_CONDITION;
    if (!condition) return true;
    struct payload payload;
    bool is_there = call_find(call, name, &payload);
    if (condition == OPTION_NX) return !is_there;
    return is_there && (condition == OPTION_XX ||
                        payload_has_data(&payload, options->if_equal.at, options->if_equal.len));
}

/* Ends a call whose condition does not hold. */
static int reply_null(struct call *call) {
    RedisModule_ReplyWithNull(call->ctx);
    return call_end(call);
}

int cmd_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 5) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    struct bytes name, data;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_name(&call, argv[3], &name) || !call_check_data(&call, argv[4], &data) ||
        !options_check(&call, argv + 5, argc - 5, OPTIONS_OF_CONDITION | OPTIONS_OF_LIFE,
                       &options) ||
        !call_requires_session(&call))
        return call_refuse(&call);
    if (options.given && !condition_holds(&call, name, &options)) return reply_null(&call);
    if (!call_check_room(&call, argv + 3, 2)) return call_refuse(&call);
    return set_all(&call, argv + 3, 2, options.life_ms, "sessiongate.pset");
}

int cmd_pmset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 5 || argc % 2 == 0) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_payloads(&call, argv + 3, argc - 3) || !call_requires_session(&call) ||
        !call_check_room(&call, argv + 3, argc - 3))
        return call_refuse(&call);
    return set_all(&call, argv + 3, argc - 3, 0, "sessiongate.pmset");
}

int cmd_pget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    struct payload payload;
    if (!call_open(&call, ctx, argv, CALL_READ) || !call_check_known_name(&call, argv[3], &name) ||
        !call_requires_session(&call) || !find_payload(&call, name, &payload))
        return call_refuse(&call);
    reply_data(ctx, &payload);
    stats.payload_reads++;
    return call_end(&call);
}

int cmd_pmget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    bool good = call_open(&call, ctx, argv, CALL_READ);
    for (int i = 3; good && i < argc; i++) good = call_check_known_name(&call, argv[i], &name);
    if (!good || !call_requires_session(&call)) return call_refuse(&call);
    RedisModule_ReplyWithArray(ctx, argc - 3);
    for (int i = 3; i < argc; i++) {
        name = server_bytes(argv[i]);
        struct payload payload;
        if (call_find(&call, name, &payload)) {
            reply_data(ctx, &payload);
            stats.payload_reads++;
        } else {
            RedisModule_ReplyWithNull(ctx);
            stats.payload_misses++;
        }
    }
    return call_end(&call);
}

int cmd_pgetall(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, CALL_READ) || !call_requires_session(&call))
        return call_refuse(&call);
    uint32_t payloads = session_payloads(call.session);
    if (session_has_lives(call.session))
        payloads -= session_over(call.session, call_now(&call), payloads).payloads;
    server_reply_map(ctx, payloads);
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(call.session, &cursor, &payload)) {
        if (payload.ends_at && payload_is_over(&payload, call_now(&call))) continue;
        RedisModule_ReplyWithStringBuffer(ctx, (const char *)payload.name, payload.name_len);
        reply_data(ctx, &payload);
    }
    stats.payload_reads += payloads;
    return call_end(&call);
}

int cmd_pttl(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    struct payload payload;
    if (!call_open(&call, ctx, argv, CALL_READ) || !call_check_known_name(&call, argv[3], &name) ||
        !call_requires_session(&call) || !find_payload(&call, name, &payload))
        return call_refuse(&call);
    RedisModule_ReplyWithLongLong(ctx, payload.ends_at ? payload.ends_at - call_now(&call) : -1);
    return call_end(&call);
}

int cmd_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 4 || argc == 5) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    struct bytes name;
    struct payload payload;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_known_name(&call, argv[3], &name) ||
        !options_check(&call, argv + 4, argc - 4, OPTION_IFEQ, &options) ||
        !call_requires_session(&call))
        return call_refuse(&call);
    if (options.given && !condition_holds(&call, name, &options)) return reply_null(&call);
    if (!find_payload(&call, name, &payload) || !call_change(&call)) return call_refuse(&call);
    delete_named(&call, argv[3], "sessiongate.pdel");
    return call_ok(&call);
}

int cmd_ppop(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    struct payload payload;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_known_name(&call, argv[3], &name) || !call_requires_session(&call) ||
        !find_payload(&call, name, &payload) || !call_change(&call))
        return call_refuse(&call);
    reply_data(ctx, &payload);
    stats.payload_reads++;
    delete_named(&call, argv[3], "sessiongate.ppop");
    return call_end(&call);
}
