/*
 * payloads.c - the commands on the payloads of a session.
 */
#include "config.h"
#include "effects.h"
#include "handlers.h"
#include "stats.h"

static void reply_data(RedisModuleCtx *ctx, const struct payload *payload) {
    RedisModule_ReplyWithStringBuffer(ctx, (const char *)payload->data, payload->data_len);
}

/* Finds the payload of that name, or notes the error. */
static bool find_payload(struct call *call, struct bytes name, struct payload *payload) {
    return session_get(call->session, name.at, name.len, payload) ||
           call_error(call, ERROR_NO_PAYLOAD);
}

/* Sets payloads that were checked, names and data by turns, and ends the call. */
static int set_all(struct call *call, RedisModuleString **payloads, int payloads_len,
                   const char *event) {
    if (!call_change(call)) return call_refuse(call);
    for (int i = 0; i < payloads_len; i += 2) {
        struct bytes name = server_bytes(payloads[i]), data = server_bytes(payloads[i + 1]);
        session_put(call->session, name.at, name.len, data.at, data.len);
    }
    effects_pset(call->ctx, call_token(call), call_aliases(call),
                 (struct strings){payloads, (size_t)payloads_len});
    call_changed(call, event);
    stats.payload_writes += (unsigned long long)payloads_len / 2;
    return call_ok(call);
}

/* Deletes a payload that is there, of a call about to change. */
static void delete_named(struct call *call, RedisModuleString *arg, const char *event) {
    struct bytes name = server_bytes(arg);
    session_delete(call->session, name.at, name.len);
    effects_pdel(call->ctx, call_token(call), arg, call_aliases(call));
    call_changed(call, event);
    stats.payload_writes++;
}

enum condition { ALWAYS, IF_NEW, IF_THERE };

static bool check_condition(struct call *call, RedisModuleString **argv, int argc,
                            enum condition *condition) {
    *condition = ALWAYS;
    if (argc == 5) return true;
    if (call_is_option(argv[5], "NX"))
        *condition = IF_NEW;
    else if (call_is_option(argv[5], "XX"))
        *condition = IF_THERE;
    else
        return call_error(call, ERROR_SYNTAX);
    return true;
}

int cmd_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 5 && argc != 6) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name, data;
    enum condition condition;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_name(&call, argv[3], &name) || !call_check_data(&call, argv[4], &data) ||
        !check_condition(&call, argv, argc, &condition) || !call_requires_session(&call))
        return call_refuse(&call);
    if (condition != ALWAYS) {
        struct payload ignored;
        bool is_there = session_get(call.session, name.at, name.len, &ignored);
        if (is_there != (condition == IF_THERE)) {
            RedisModule_ReplyWithNull(ctx);
            return call_end(&call);
        }
    }
    if (!call_check_room(&call, argv + 3, 2)) return call_refuse(&call);
    return set_all(&call, argv + 3, 2, "sessiongate.pset");
}

int cmd_pmset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 5 || argc % 2 == 0) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_payloads(&call, argv + 3, argc - 3) || !call_requires_session(&call) ||
        !call_check_room(&call, argv + 3, argc - 3))
        return call_refuse(&call);
    return set_all(&call, argv + 3, argc - 3, "sessiongate.pmset");
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
        if (session_get(call.session, name.at, name.len, &payload)) {
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
    server_reply_map(ctx, payloads);
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(call.session, &cursor, &payload)) {
        RedisModule_ReplyWithStringBuffer(ctx, (const char *)payload.name, payload.name_len);
        reply_data(ctx, &payload);
    }
    stats.payload_reads += payloads;
    return call_end(&call);
}

int cmd_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    struct payload payload;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !call_check_known_name(&call, argv[3], &name) || !call_requires_session(&call) ||
        !find_payload(&call, name, &payload) || !call_change(&call))
        return call_refuse(&call);
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
