/*
 * slot.h - hash slots of a cluster: which one a name falls into, and names that fall into a given
 * one.
 *
 * The slot of a name is its CRC16 modulo 16384 (cluster specification: CRC-16/XMODEM, polynomial
 * 0x1021, initial value 0). Of a name with a hash tag only the tag counts: what stands between the
 * first { and the first } behind it, unless that is nothing. Tokens have no braces.
 */
#ifndef SESSIONGATE_SLOT_H
#define SESSIONGATE_SLOT_H

#include <stddef.h>
#include <stdint.h>

#define SLOT_COUNT 16384
#define SLOT_PAD_LEN 3

/* The slot of a name without braces. */
uint16_t slot_of(const char *name, size_t name_len);

/* The slot of any name. */
uint16_t slot_of_tagged(const char *name, size_t name_len);

/* Writes the three characters of a-zA-Z0-9 that, behind prefix, make a name of that slot. There are
 * such for every prefix and every slot. */
void slot_pad(char pad[SLOT_PAD_LEN], const char *prefix, size_t prefix_len, uint16_t slot);

#endif
