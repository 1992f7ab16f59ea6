/*
 * replay.h - the internal commands: what effects.h sends, carried out.
 *
 * They run only when the server itself sends them: over the replication link, or from an AOF that
 * it loads. To any client they answer an error, in every state of the server. START, LOAD and ALIAS
 * create, or overwrite what is there; the others change the session if there is one, and do nothing
 * where a replica has lost it (to eviction, or to a client that may write there): half a session
 * without a life would be worse than none. None is ever refused, since a replica cannot refuse its
 * master, and each passes itself on to the replica's own AOF and replicas, whatever it did here.
 */
#ifndef SESSIONGATE_REPLAY_H
#define SESSIONGATE_REPLAY_H

#include "server.h"

int replay_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_psetex(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_psetvia(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_touch(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_swept(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_alias(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_ostart(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_oexpire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_orotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_oend(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_owner(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
