/*
 * type.h - a session as a key of the server: the data type "sgsession".
 *
 * The key's name is the token, its TTL is the session's life, its value the payloads.
 */
#ifndef SESSIONGATE_TYPE_H
#define SESSIONGATE_TYPE_H

#include "core/error.h"
#include "core/session.h"
#include "server.h"

/* Registers the type; only while the module loads. False: the server refused it. */
bool type_register(RedisModuleCtx *ctx);

/* The session that an opened key holds. NULL and ERROR_NO_SESSION when there is none (key may be
 * NULL), NULL and ERROR_WRONG_TYPE when the key holds something else. It belongs to the key. */
struct session *type_session(RedisModuleKey *key, enum error *error);

/* Puts a new session without payloads into a key opened for writing, in place of whatever it held. */
struct session *type_create(RedisModuleKey *key);

/* Sets when a key opened for writing expires, in unix ms; a time in the past lets it expire at once. */
void type_expire_at(RedisModuleKey *key, long long expire_at);

/* Deletes a key opened for writing; a large session is freed in the background. */
void type_remove(RedisModuleKey *key);

#endif
