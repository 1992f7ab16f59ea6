/*
 * clock.c - the clock of clock.h.
 */
#include "clock.h"

#include "server.h"

/* Newer than the header. */
static long long (*cached_microseconds)(void); /* NULL: this server has none */

void clock_load(void) {
    if (RedisModule_GetApi("RedisModule_CachedMicroseconds", (void *)&cached_microseconds) !=
        REDISMODULE_OK)
        cached_microseconds = NULL;
}

long long clock_now_ms(void) {
    return cached_microseconds ? cached_microseconds() / 1000 : RedisModule_Milliseconds();
}
