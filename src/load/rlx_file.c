/* load/rlx_file.c: .rlx files: the text of a graph as metadata, its large constants as tensors. */
#include "load/rlx_file.h"

#include "base/mem.h"
#include "load/safetensors.h"

#define FORMAT "rlx-1"

rlx_status rlx_graph_save(const rlx_graph *graph, const char *path) {
  if (!graph || !path) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_graph_save: graph or path is NULL");
  }
  rlx_tensors *blobs = NULL;
  char *text = NULL;
  rlx_status status = rlx_tensors_create(&blobs);
  if (status == RLX_OK) status = rlx_graph_print(graph, &text, blobs);
  if (status == RLX_OK) {
    const char *const metadata[] = {"format", FORMAT, "rlx", text, NULL};
    status = safetensors_write(path, blobs, metadata);
  }
  rlx_string_free(text);
  rlx_tensors_free(blobs);
  return status == RLX_OK || status == RLX_ERROR_IO ? status : status_at(status, "%s", path);
}

rlx_status rlx_file_read(io_map *file, rlx_graph **out_graph) {
  rlx_tensors *blobs = NULL;
  char *text = NULL;
  rlx_status status = rlx_tensors_create(&blobs);
  if (status == RLX_OK) status = safetensors_read(file, blobs, "rlx", &text);
  if (status == RLX_OK && !text) {
    status = status_set(RLX_ERROR_UNSUPPORTED,
                        "a safetensors file without a graph: its metadata has no key 'rlx'");
  }
  if (status == RLX_OK) status = rlx_graph_parse(text, blobs, out_graph);
  mem_free(text);
  rlx_tensors_free(blobs);
  return status;
}

rlx_status rlx_graph_load(const char *path, rlx_graph **out_graph) {
  if (!path || !out_graph) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_graph_load: path or out_graph is NULL");
  }
  *out_graph = NULL;
  io_map *file;
  RLX_TRY(io_map_open(path, 0, &file));
  rlx_status status = rlx_file_read(file, out_graph);
  io_map_free(file);
  return status == RLX_OK ? status : status_at(status, "%s", path);
}
