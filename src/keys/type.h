/*
 * type.h - a session as a key of the server: the data type "sgsession".
 *
 * The key's name is the token, its TTL is the session's life, its value the payloads.
 */
#ifndef SESSIONGATE_TYPE_H
#define SESSIONGATE_TYPE_H

#include "server.h"
#include "session.h"

/* Registers the type; only while the module loads. False: the server refused it. */
bool type_register(RedisModuleCtx *ctx);

/* The session that an opened key holds, or NULL; key may be NULL. It belongs to the key. */
struct session *type_session(RedisModuleKey *key);

/* Puts a new session without payloads into a key opened for writing, in place of whatever it held.
 * Of an owner with a label of up to SESSION_OWNER_MAX bytes, or with TYPE_NOBODY nobody's. */
#define TYPE_NOBODY ((struct bytes){NULL, 0})
struct session *type_create(RedisModuleKey *key, struct session_times times, struct bytes owner);

/* The same with the session that these chunks (chunk.h) make up, at least one. False, and nothing
 * changed: they are damaged, or not all there. */
__attribute__((warn_unused_result)) bool type_load(RedisModuleKey *key, RedisModuleString **chunks,
                                                   int chunks_len);

/* Moves the session of key `from` into the empty key `to`, both opened for writing. `from` keeps an
 * empty session, for the caller to remove or replace. */
void type_move(RedisModuleKey *from, RedisModuleKey *to);

/* Sets a payload of a session, from strings as a call has them; ends_at as in struct payload. */
static inline void type_put(struct session *session, const RedisModuleString *name,
                            const RedisModuleString *data, int64_t ends_at) {
    struct bytes n = server_bytes(name), d = server_bytes(data);
    struct payload payload = {(const uint8_t *)n.at, (const uint8_t *)d.at, n.len, d.len, ends_at};
    session_put(session, &payload);
}

/* When a key expires, in unix ms; TYPE_NO_EXPIRY when it does not. */
#define TYPE_NO_EXPIRY 0LL
long long type_expires_at(RedisModuleKey *key);

/* Sets when a key opened for writing expires; a time in the past lets it expire at once, and
 * TYPE_NO_EXPIRY leaves it as it is. */
void type_expire_at(RedisModuleKey *key, long long expire_at);

/* Deletes a key opened for writing; a large session is freed in the background. */
void type_remove(RedisModuleKey *key);

#endif
