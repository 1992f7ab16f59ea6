/*
 * clock.h - the time by which payloads end.
 *
 * It is the server's cached clock, which stands still while a script or a transaction runs: within
 * one, a payload is there from its beginning to its end, or not at all. Servers before Redis 7.2
 * keep that clock for themselves; there time goes on.
 */
#ifndef SESSIONGATE_CLOCK_H
#define SESSIONGATE_CLOCK_H

/* Asks the server for its cached clock; while the module loads. */
void clock_load(void);

/* Unix ms. */
long long clock_now_ms(void);

#endif
