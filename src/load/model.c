/* load/model.c: a model file of any kind, told by its content. */
#include <rlx/model.h>
#include <string.h>

#include "base/options.h"
#include "base/span.h"
#include "load/onnx_model.h"
#include "load/rlx_file.h"
#include "load/safetensors.h"

#define DEFAULT_DEPTH 64
#define LARGEST_DEPTH 1000 /* the reader recurses once per level */
#define DEFAULT_FILE_BYTES (UINT64_C(64) << 30)
#define DEFAULT_NODES 1000000

static rlx_status read_limits(const rlx_load_options *options, rlx_load_options *out) {
  RLX_TRY(options_read(out, sizeof *out, options));
  if (out->max_depth > LARGEST_DEPTH) {
    return status_set(RLX_ERROR_ARGUMENT, "max_depth is %u, at most %d is possible", out->max_depth,
                      LARGEST_DEPTH);
  }
  if (!out->max_depth) out->max_depth = DEFAULT_DEPTH;
  if (!out->max_file_bytes) out->max_file_bytes = DEFAULT_FILE_BYTES;
  if (!out->max_nodes) out->max_nodes = DEFAULT_NODES;
  return RLX_OK;
}

static rlx_status read_any(io_map *file, const char *path, const rlx_load_options *limits,
                           rlx_graph **out_graph) {
  if (file->bytes >= 4 && memcmp(file->data, "GGUF", 4) == 0) {
    return status_set(RLX_ERROR_UNSUPPORTED, "a GGUF file: not read yet");
  }
  return safetensors_is(file) ? rlx_file_read(file, out_graph)
                              : onnx_file_read(file, path, limits, out_graph);
}

rlx_status rlx_model_load(const char *path, const rlx_load_options *options,
                          rlx_graph **out_graph) {
  if (!path || !out_graph) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_model_load: path or out_graph is NULL");
  }
  *out_graph = NULL;
  rlx_load_options limits;
  io_map *file;
  const uint64_t begin = span_begin();
  RLX_TRY(read_limits(options, &limits));
  RLX_TRY(io_map_open(path, limits.max_file_bytes, &file));
  rlx_status status = read_any(file, path, &limits, out_graph);
  io_map_free(file);
  span_end(begin, "load", "model", path);
  return status == RLX_OK ? status : status_at(status, "%s", path);
}
