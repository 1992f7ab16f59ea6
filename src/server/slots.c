/*
 * slots.c - ownership of hash slots, asked from the server by slots.h's probe.
 *
 * The probe is a write command: a read would be let through on a failed cluster that still allows
 * reads. It is ours, and not monitored, so that MONITOR does not show the token.
 */
#include "slots.h"

#include <errno.h>
#include <stdio.h>

#include "token.h"

static bool in_cluster;
static bool probing;

void slots_start(RedisModuleCtx *ctx) {
    in_cluster = RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_CLUSTER;
}

bool slots_exist(void) {
    return in_cluster;
}

/* What the probe's reply, or its absence, says. */
static enum error probe_answer(RedisModuleCallReply *reply) {
    int reason = errno; /* means something only without a reply */
    probing = false;
    if (reply) {
        RedisModule_FreeCallReply(reply);
        return ERROR_NONE;
    }
    return reason == ENETDOWN || reason == EROFS ? ERROR_CLUSTER_DOWN : ERROR_NO_SLOT;
}

enum error slots_serve(RedisModuleCtx *ctx, const char *name, size_t name_len) {
    probing = true;
    return probe_answer(RedisModule_Call(ctx, SLOTS_PROBE, "b", name, name_len));
}

/* A slot that is arriving takes one name that is not there, but not two of them. The name in braces
 * is of the same slot. Most names that START draws are of other nodes: they take one call. */
enum error slots_serve_new(RedisModuleCtx *ctx, const char *name, size_t name_len) {
    enum error error = slots_serve(ctx, name, name_len);
    if (error != ERROR_NONE) return error;
    char sibling[TOKEN_MAX_LEN + 3];
    int sibling_len = snprintf(sibling, sizeof sibling, "{%.*s}", (int)name_len, name);
    probing = true;
    return probe_answer(
        RedisModule_Call(ctx, SLOTS_PROBE, "bb", name, name_len, sibling, (size_t)sibling_len));
}

enum error slots_serve_both(RedisModuleCtx *ctx, RedisModuleString *one, RedisModuleString *other) {
    probing = true;
    return probe_answer(RedisModule_Call(ctx, SLOTS_PROBE, "ss", one, other));
}

bool slots_is_split(RedisModuleCtx *ctx, RedisModuleString *one, RedisModuleString *absent) {
    return slots_exist() && slots_serve_both(ctx, one, absent) == ERROR_NO_SLOT;
}

enum error slots_serve_reads(RedisModuleCtx *ctx, RedisModuleString *one,
                             RedisModuleString *other) {
    probing = true;
    return probe_answer(RedisModule_Call(ctx, SLOTS_PROBE_READ, "ss", one, other));
}

int slots_probe(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    if (!probing) return server_reply_error(ctx, ERROR_INTERNAL, 0);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}
