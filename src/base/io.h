/* base/io.h: files: read by mapping, written aside and renamed. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/str.h"

bool io_is_there(const char *path); /* a file or folder */

/* A file mapped for reading. Owner: reference counted (atomic), so that tensors can refer to it. */
typedef struct io_map {
  const uint8_t *data; /* never NULL, also for an empty file */
  size_t bytes;
} io_map;
/* Errors: RLX_ERROR_IO (missing, unreadable, not a regular file), RLX_ERROR_LIMIT over max_bytes
 * (0: no limit). */
rlx_status io_map_open(const char *path, uint64_t max_bytes, io_map **out_map);
io_map *io_map_retain(io_map *m);
void io_map_free(void *m); /* an io_map; void so that it can serve as a release function */
/* These bytes will hardly be read again: where they are part of a mapped file, the memory that its
 * pages took is given back. Reading them still works. */
void io_forget(const void *data, size_t bytes);

/* A file being written aside; io_write_commit renames it into place, io_write_abort removes it.
 * Errors are sticky until commit. */
typedef struct io_write io_write;
rlx_status io_write_open(const char *path, io_write **out_file);
void io_write_bytes(io_write *w, const void *data, size_t bytes);
rlx_status io_write_commit(io_write *w); /* frees w in any case */
void io_write_abort(io_write *w);        /* NULL is fine */
/* A whole file: the head, unless it failed, then the data. */
rlx_status io_write_file(const char *path, const str *head, const void *data, size_t bytes);

#endif
