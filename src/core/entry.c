/*
 * entry.c - the entries of entry.h that few payloads have.
 */
#include "entry.h"

void entry_read_rare(const uint8_t *entry, struct payload *payload) {
    payload->ends_at = entry_ends_at(entry);
    if (payload->ends_at) entry += ENTRY_LIFE;
    payload->name = number_read(number_read(entry, &payload->name_len), &payload->data_len);
    payload->data = payload->name + payload->name_len;
}
