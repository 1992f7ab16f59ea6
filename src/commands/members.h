/*
 * members.h - the sessions that the list of an owner leads to.
 */
#ifndef SESSIONGATE_MEMBERS_H
#define SESSIONGATE_MEMBERS_H

#include "call.h"
#include "owner.h"

struct member {
    RedisModuleString *token;
    long long created_ms;
    size_t place; /* in the list */
};

struct members {
    struct member *mine; /* signed with the sign key of the call, the oldest first */
    size_t mine_len;
    size_t others;            /* that live too, signed with other sign keys */
    RedisModuleString **dead; /* tokens that lead to no session of the owner */
    size_t dead_len;
};

/* Opens all sessions of a list for reading. False: while the slot moves some may be on the other
 * node; call->error says so. To be freed either way. */
__attribute__((warn_unused_result)) bool members_find(struct call *call, RedisModuleString *label,
                                                      const struct tokenlist *tokens, bool to_write,
                                                      struct members *members);

void members_free(RedisModuleCtx *ctx, struct members *members);

/* Tokens that leave the list: of sessions that end, and dead ones; they are the members'. */
struct leavers {
    struct strings ended, dead;
};

/* The oldest of mine, at most so many, but not the one that is kept (or NULL), and all that are
 * dead. To be freed by leavers_free. */
struct leavers leavers_of(const struct members *members, size_t most,
                          const RedisModuleString *kept);
void leavers_free(struct leavers *leavers);

/* Takes them from the list, and ends the sessions. */
void leavers_end(RedisModuleCtx *ctx, struct bytes label, struct owner *owner,
                 const struct leavers *leavers);

/* Publishes the ends, when all else is done. */
void leavers_tell(RedisModuleCtx *ctx, const struct leavers *leavers);

#endif
