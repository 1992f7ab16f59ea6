/*
 * slot.c - CRC16 forwards, to find a name's slot, and backwards, to find a name for a slot.
 *
 * CRC16 with initial value 0 is linear: crc(prefix + pad) = crc(prefix + three zero bytes) XOR
 * crc(pad). So the pad for a slot depends on one number of 14 bits, the difference between the slot
 * wanted and the slot of the prefix with zeros behind it, and a table has a pad for each
 * difference.
 */
#include "slot.h"

#include <stdbool.h>
#include <string.h>

static uint16_t crc_of_byte[256];
static char pad_of_difference[SLOT_COUNT][SLOT_PAD_LEN];

static uint16_t crc16(uint16_t crc, const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        crc = (uint16_t)(crc << 8) ^ crc_of_byte[(crc >> 8) ^ (uint8_t)bytes[i]];
    return crc;
}

static void fill_crc_of_byte(void) {
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned crc = byte << 8;
        for (int bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
        crc_of_byte[byte] = (uint16_t)crc;
    }
}

/* All 62^3 pads, each put where it belongs: 14 of them for each difference, and none is left out
 * (tests/unit/test_slot.c). */
static void fill_pads(void) {
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for (const char *a = alphabet; *a; a++)
        for (const char *b = alphabet; *b; b++)
            for (const char *c = alphabet; *c; c++) {
                const char pad[SLOT_PAD_LEN] = {*a, *b, *c};
                uint16_t difference = crc16(0, pad, sizeof pad) % SLOT_COUNT;
                memcpy(pad_of_difference[difference], pad, sizeof pad);
            }
}

/* The tables are filled when they are first needed: 238,328 short CRCs, a few milliseconds. */
static void fill_tables(void) {
    static bool filled;
    if (filled) return;
    fill_crc_of_byte();
    fill_pads();
    filled = true;
}

uint16_t slot_of(const char *name, size_t name_len) {
    fill_tables();
    return crc16(0, name, name_len) % SLOT_COUNT;
}

uint16_t slot_of_tagged(const char *name, size_t name_len) {
    const char *end = name + name_len;
    const char *open = memchr(name, '{', name_len);
    const char *close = open ? memchr(open + 1, '}', (size_t)(end - open - 1)) : NULL;
    if (!close || close == open + 1) return slot_of(name, name_len);
    return slot_of(open + 1, (size_t)(close - open - 1));
}

void slot_pad(char pad[SLOT_PAD_LEN], const char *prefix, size_t prefix_len, uint16_t slot) {
    static const char zeros[SLOT_PAD_LEN];
    fill_tables();
    uint16_t with_zeros = crc16(crc16(0, prefix, prefix_len), zeros, sizeof zeros) % SLOT_COUNT;
    memcpy(pad, pad_of_difference[with_zeros ^ slot], SLOT_PAD_LEN);
}
