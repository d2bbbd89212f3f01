/* base/room.h: how much memory this process can have. MLX does not survive an allocation that fails
 * on a CPU, and the system kills whoever takes more than there is: refuse what cannot fit. */
#ifndef BASE_ROOM_H
#define BASE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

/* The machine's memory and swap, or less where a container or a process limit allows less. */
uint64_t room_bytes(void);

/* Can one piece of this size be had at all? Small ones are not looked up. */
static inline bool room_for(uint64_t bytes) { return bytes < (1u << 28) || bytes <= room_bytes(); }

#endif
