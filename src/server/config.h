/*
 * config.h - what an operator can set, and how.
 *
 *     sessiongate.max-ttl            seconds of a <ttl>, and of a MAXTTL
 *     sessiongate.max-payload-name   bytes of a <payload_name>
 *     sessiongate.max-payload-size   bytes of a <payload_data>
 *     sessiongate.max-payloads       payloads in one session
 *     sessiongate.max-owner-sessions sessions of one owner
 *     sessiongate.token-format       v1 or v2: the tokens that START makes
 *
 * As arguments where the module is loaded ("loadmodule sessiongate.so max-ttl 3600"), on every
 * server; and by redis.conf and CONFIG SET, GET and REWRITE on Redis 7.0 and later and on Valkey,
 * which wins. A lower limit concerns what clients send from then on: sessions that exceed it stay
 * as they are.
 */
#ifndef SESSIONGATE_CONFIG_H
#define SESSIONGATE_CONFIG_H

#include "server.h"
#include "token.h"

#define CONFIG_TTL_MAX 3153600000LL /* seconds: 100 years of 365 days, far from any clock's end */
#define CONFIG_NAME_PROMISED 200    /* bytes, whatever is set */

#define CONFIG_OWNER_SESSIONS_MAX 10000LL

struct config {
    long long max_ttl;
    long long max_payload_name;
    long long max_payload_size;
    long long max_payloads;
    long long max_owner_sessions;
    int token_format; /* enum token_format */
};

extern struct config config;

/* Takes the module's arguments, then registers the parameters; only while the module loads. False:
 * an argument is wrong, or the server refused; the log says which. */
bool config_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
