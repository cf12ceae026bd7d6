/* crc32c.h - CRC32c (Castagnoli), the checksum of SCTP
 * Owner:  nobody.
 * Thread: any.
 * Errors: none. */
#ifndef HOSTSTACK_COMMON_CRC32C_H
#define HOSTSTACK_COMMON_CRC32C_H

#include <stdint.h>

/* Begins with UINT32_MAX; what comes out in the end, inverted, stands in the checksum field as it is in memory (RFC 9260 App. A). */
uint32_t crc32c(uint32_t crc, const void *data, uint32_t len);
uint32_t crc32c_software(uint32_t crc, const void *data, uint32_t len); /* the same without the instruction, for its test */

#endif
