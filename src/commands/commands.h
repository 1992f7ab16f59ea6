/*
 * commands.h - the commands of SessionGate, for the server.
 */
#ifndef SESSIONGATE_COMMANDS_H
#define SESSIONGATE_COMMANDS_H

#include "server.h"

/* Registers all commands; only while the module loads. False: the server refused one of them. */
bool commands_register(RedisModuleCtx *ctx);

#endif
