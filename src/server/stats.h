/*
 * stats.h - counters since the module was loaded, shown by INFO sessiongate.
 *
 * They count what clients asked of this server; what it replays as a replica or from a file counts
 * nowhere but in sessions_live.
 */
#ifndef SESSIONGATE_STATS_H
#define SESSIONGATE_STATS_H

#include "error.h"
#include "server.h"

/* clang-format off */
#define STATS_LIST(X) \
    X(sessions_started) X(sessions_adopted) X(sessions_rotated) X(sessions_ended) \
    X(tokens_expired) X(tokens_evicted) /* names of a token's form: of sessions, and of aliases */ \
    X(payload_reads) X(payload_writes) X(payload_misses) \
    X(refused_bad_token) X(refused_bad_signature) X(refused_no_session)
/* clang-format on */

struct stats {
#define X(name) unsigned long long name;
    STATS_LIST(X)
#undef X
};

extern struct stats stats;

/* Counts sessions in memory, those of a database that is being loaded or freed in the background
 * included: 1 for one more, -1 for one less. In any thread. */
void stats_sessions_live(int more);

/* Counts a call that was refused, where its reason is one that is counted. */
void stats_refused(enum error error);

/* Announces the section of INFO and listens for expired and evicted tokens; only while the module
 * loads, and only as far as the server can. */
void stats_load(RedisModuleCtx *ctx);

#endif
