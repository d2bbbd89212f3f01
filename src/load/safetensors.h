/* load/safetensors.h: the safetensors format: 8 bytes of header length, a JSON header, raw data.
 *
 * Laws: header and offsets are checked before use; the tensors fill the data exactly, without gaps
 * or overlaps, as the format demands. Files that we write start their data at a multiple of 64. */
#ifndef LOAD_SAFETENSORS_H
#define LOAD_SAFETENSORS_H

#include "base/io.h"
#include "ir/tensor.h"

/* Does a file start like one? */
bool safetensors_is(const io_map *file);
/* Adds the file's tensors, which refer to it, to `out`. If `key` is given, *out_value receives the
 * text under that key of __metadata__ (mem_free), NULL if there is none. */
rlx_status safetensors_read(io_map *file, rlx_tensors *out, const char *key, char **out_value);
/* Writes the tensors and one metadata entry per pair of keys_values ({key, value, ..., NULL}). */
rlx_status safetensors_write(const char *path, const rlx_tensors *tensors,
                             const char *const *keys_values);

#endif
