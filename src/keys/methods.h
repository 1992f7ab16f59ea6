/*
 * methods.h - what the data types of this folder have in common.
 */
#ifndef SESSIONGATE_METHODS_H
#define SESSIONGATE_METHODS_H

/* The methods that every type has, by the names that they have in its file. One structure serves
 * all servers: each reads the part that it knows. */
#define METHODS_OF_ALL                                                                      \
    .version = REDISMODULE_TYPE_METHOD_VERSION, .rdb_load = rdb_load, .rdb_save = rdb_save, \
    .aof_rewrite = aof_rewrite, .mem_usage = mem_usage, .digest = digest_value,             \
    .free = free_value, .copy = copy_value, .defrag = defrag_value

#endif
