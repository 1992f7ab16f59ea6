/*
 * slots.h - which hash slots of a cluster this node serves now.
 *
 * START has no key, so a cluster client may send it to any master: that one has to make a token
 * whose slot it serves. It asks the server itself, by calling an internal command on the candidate
 * token.
 */
#ifndef SESSIONGATE_SLOTS_H
#define SESSIONGATE_SLOTS_H

#include "error.h"
#include "server.h"

/* To be called while the module loads, before anything else here. */
void slots_start(RedisModuleCtx *ctx);

/* Whether the server is a node of a cluster. */
bool slots_exist(void);

/* ERROR_NONE when this node would take a write to a key of that name now; ERROR_NO_SLOT when it
 * would not (another node's slot, one that is moving away or still arriving, a replica);
 * ERROR_CLUSTER_DOWN. */
enum error slots_serve(RedisModuleCtx *ctx, const char *name, size_t name_len);

/* The same for a name that is of nobody yet. slots_serve would take one of a slot that is still
 * arriving, if the client has sent ASKING, which every call of ours inherits. */
enum error slots_serve_new(RedisModuleCtx *ctx, const char *name, size_t name_len);

/* The same for two names of one slot where nothing is written: a replica answers it too, as far as
 * it knows which slots are on the move (Valkey's do, Redis' do not). */
enum error slots_serve_reads(RedisModuleCtx *ctx, RedisModuleString *one, RedisModuleString *other);

/* The internal command that slots_serve calls; it does nothing, and refuses clients. */
#define SLOTS_PROBE "SESSIONGATE.PROBE"
#define SLOTS_PROBE_READ "SESSIONGATE.PROBEREAD"
int slots_probe(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

/* As slots_serve, of two names of one slot at once: while the slot moves key by key both have to be
 * here (also where it is imported, which for one name says yes to whoever was asked). */
enum error slots_serve_both(RedisModuleCtx *ctx, RedisModuleString *one, RedisModuleString *other);

/* Whether their slot moves key by key just now, so that the one which is absent here may be on the
 * other node. */
bool slots_is_split(RedisModuleCtx *ctx, RedisModuleString *one, RedisModuleString *absent);

#endif
