/*
 * handlers.h - the handlers of the public commands, for the table in commands.c.
 *
 * Each replies exactly once and returns REDISMODULE_OK. What the commands mean is in docs/commands.md.
 */
#ifndef SESSIONGATE_HANDLERS_H
#define SESSIONGATE_HANDLERS_H

#include "call.h"

/* starts.c */
int cmd_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_adopt(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_ostart(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

/* owners.c */
int cmd_olist(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_oend(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

/* lifetimes.c */
int cmd_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_touch(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_ttl(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

/* When a life of ttl seconds from now (unix ms) is over, or the deadline if that is sooner. */
long long lifetime_until(long long now, long long ttl, long long deadline_ms);

/* The time of expiry, or the deadline if that is sooner; no expiry and no deadline are 0. */
long long lifetime_cut(long long expire_at, long long deadline_ms);

/* payloads.c */
int cmd_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_pmset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_pget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_pmget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_pgetall(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_pttl(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_ppop(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
