/*
 * owned.h - what a change of a session's life means for the list of its owner, if it has one.
 *
 *     owned_open -> change of the session -> owned_keep, _moved or _gone -> effect -> owned_close
 *
 * A session never outlives its list, or else "all sessions of this owner are ended" would miss it.
 * So that not each refresh writes two keys, the list lives up to one ttl longer than it must. One
 * that was lost, or that lost the token, is healed by the way. Sessions without an owner take none
 * of this.
 */
#ifndef SESSIONGATE_OWNED_H
#define SESSIONGATE_OWNED_H

#include "call.h"
#include "owner.h"

struct owned {
    RedisModuleCtx *ctx;
    RedisModuleString *label; /* NULL: there is no list to keep */
    RedisModuleKey *key;      /* the list's, opened for writing; it may hold nothing */
    long long reach;          /* owned_reach of the session as it was */
    struct effects_list change;
};

/* Opens the list of the owner of the call's session. False: the list is not here, and may be on
 * another node while the slot moves; call->error says so. */
__attribute__((warn_unused_result)) bool owned_open(struct owned *owned, struct call *call);

/* The same for a session that ends: a list that is not here need not be found. */
void owned_open_to_end(struct owned *owned, struct call *call);

/* The session has these times now. The list has it, and lives as long. */
void owned_keep(struct owned *owned, RedisModuleString *token, const struct session_times *times,
                long long expire_at);

/* The same, and it has moved to another token. */
void owned_moved(struct owned *owned, RedisModuleString *token, RedisModuleString *successor,
                 const struct session_times *times, long long expire_at);

/* The session is ended. */
void owned_gone(struct owned *owned, RedisModuleString *token);

/* Closes the list, and tells those who watch it when it was changed. */
void owned_close(struct owned *owned);

/*
 * The same pieces for the commands on the list itself.
 */

/* Until when a list lives for a session's sake: as long as it, and up to a ttl longer. */
long long owned_reach(const struct session_times *times, long long expire_at);

/* Ends a change of the list under an opened key: gives it the life that its sessions need, or
 * deletes it if it has no token. Its life stays as it is while the slot moves and some of its
 * sessions may be on the other node. Returns its time of expiry. */
long long owned_settle(RedisModuleCtx *ctx, RedisModuleString *label, RedisModuleKey *key);

#endif
