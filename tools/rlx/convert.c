/* rlx/convert.c: `rlx convert`: any model file to a .rlx file. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "host.h"
#include "model.h"

static int check_target(const args *a, const char *path) {
  const char *end = strrchr(path, '.');
  if (!end || strcmp(end, ".rlx") != 0) {
    return fail_usage(a->command, "convert writes .rlx files, and '%s' does not end so", path);
  }
  if (host_is_there(path) && !args_has(a, FLAG_FORCE)) {
    return fail("%s is there already; --force replaces it", path);
  }
  return host_can_write(path) ? EXIT_OK : fail("%s: cannot write: %s", path, strerror(errno));
}

static void report(const args *a, const rlx_graph *g, int64_t bytes_read, text *out) {
  const char *from = a->operands[0], *to = a->operands[1];
  const int64_t bytes = host_file_bytes(to), nodes = (int64_t)rlx_graph_node_count(g);
  if (args_has(a, FLAG_JSON)) {
    json j = {out, false};
    json_open(&j, NULL, '{');
    json_int(&j, "nodes", nodes);
    json_int(&j, "bytes_read", bytes_read);
    json_int(&j, "bytes_written", bytes);
    json_close(&j, '}');
    text_add(out, "\n");
    return;
  }
  text_add_safe(out, from);
  text_addf(out, " (%" PRId64 " bytes) -> ", bytes_read);
  text_add_safe(out, to);
  text_addf(out, " (%" PRId64 " bytes), %" PRId64 " nodes\n", bytes, nodes);
}

int cmd_convert(const args *a, text *out) {
  const char *from = a->operands[0], *to = a->operands[1];
  if (args_has(a, FLAG_QUIET) && args_has(a, FLAG_JSON)) {
    return fail_usage(a->command, "convert: --quiet or --json, not both");
  }
  int code = check_target(a, to);
  if (code) return code;
  const bool quiet = args_has(a, FLAG_QUIET);
  rlx_graph *graph = NULL;
  if (!quiet) host_progress("reading the model");
  const int64_t bytes_read = host_file_bytes(from);
  rlx_status status = rlx_model_load(from, NULL, &graph);
  if (status == RLX_OK) {
    if (!quiet) host_progress("writing the .rlx file");
    host_hold_interrupts(); /* so that no half-written file stays beside it */
    status = rlx_graph_save(graph, to);
    host_release_interrupts();
  }
  if (status == RLX_OK && !quiet) report(a, graph, bytes_read, out);
  rlx_graph_free(graph);
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}
