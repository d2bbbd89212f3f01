/* filetypes FOLDER FILE...: names the types of files with the magika classifier, whose package is
 * unpacked in FOLDER (`make demo` does all that). In go the first and the last 1024 bytes of a
 * file, stripped of white space outside, padded with 256. Out come scores, one per label of the
 * config. */
#include <ctype.h>
#include <rlx/rlx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 4096, HALF = 1024, PAD = 256, LEAST = 8 };

static void must(bool ok, const char *what) {
  if (ok) return;
  const char *why = rlx_last_error();
  fprintf(stderr, "filetypes: %s: %s\n", what, *why ? why : "cannot be read");
  exit(1);
}

/* False where the model has too little to go by. */
static bool read_features(const char *path, int32_t out[2 * HALF]) {
  unsigned char block[BLOCK];
  FILE *file = fopen(path, "rb");
  must(file != NULL, path);
  size_t n = fread(block, 1, BLOCK, file), at = 0;
  while (at < n && isspace(block[at])) at++;
  for (size_t i = 0; i < HALF; i++, at++) out[i] = at < n ? block[at] : PAD;
  if (fseek(file, -(long)n, SEEK_END) == 0) n = fread(block, 1, n, file);
  fclose(file);
  while (n > 0 && isspace(block[n - 1])) n--;
  for (size_t i = 2 * HALF; i-- > HALF;) out[i] = n > 0 ? block[--n] : PAD;
  return out[LEAST - 1] != PAD;
}

static char *read_text(const char *folder, const char *name) {
  char path[4096], *text = calloc(1, 1 << 20);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  must(file && text && fread(text, 1, (1 << 20) - 1, file) > 0, path);
  fclose(file);
  return text;
}

/* The text of object[key] in a flat piece of JSON, or NULL. */
static const char *json_find(const char *json, const char *object, const char *key) {
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\":{", object);
  const char *start = strstr(json, quoted);
  snprintf(quoted, sizeof quoted, "\"%s\":", key);
  const char *found = start ? strstr(start, quoted) : NULL;
  return found && found < strchr(start, '}') ? found + strlen(quoted) : NULL;
}

/* The label of class `best`; a general one where the score is under the label's threshold. */
static void name_label(const char *config, const char *types, int64_t best, float score,
                       char *label) {
  const char *at = strstr(config, "target_labels_space") + strlen("target_labels_space\":[");
  while (best-- > 0) at = strchr(at, ',') + 1;
  sscanf(at, "\"%31[^\"]", label);
  const char *threshold = json_find(config, "thresholds", label);
  const char *renamed = json_find(config, "overwrite_map", label);
  if (renamed) sscanf(renamed, "\"%31[^\"]", label);
  if ((double)score >= (threshold ? atof(threshold) : 0.5)) return;
  const char *is_text = json_find(types, label, "is_text");
  strcpy(label, is_text && *is_text == 't' ? "txt" : "unknown");
}

int main(int argc, char **argv) {
  if (argc < 3) return fputs("usage: filetypes FOLDER FILE...\n", stderr), 2;
  char path[4096], label[32];
  snprintf(path, sizeof path, "%s/models/standard_v3_3/model.onnx", argv[1]);
  char *config = read_text(argv[1], "models/standard_v3_3/config.min.json");
  char *types = read_text(argv[1], "config/content_types_kb.min.json");
  rlx_graph *graph = NULL;
  rlx_exec *exec = NULL;
  rlx_tensor *in = NULL, *out = NULL;
  must(rlx_model_load(path, NULL, &graph) == RLX_OK, path);
  must(rlx_compile(graph, NULL, &exec) == RLX_OK, "compile");
  must(rlx_tensor_create(RLX_I32, 2, (int64_t[]){1, 2 * HALF}, &in) == RLX_OK, "input");
  must(rlx_exec_call(exec, &in, 1, &out, 1) == RLX_OK, "first run");
  for (int i = 2; i < argc; i++) {
    if (!read_features(argv[i], rlx_tensor_mutable(in))) {
      printf("%-28s too short\n", argv[i]);
      continue;
    }
    rlx_tensor_free(out), out = NULL; /* so that the run makes a new one */
    struct timespec a, b;
    timespec_get(&a, TIME_UTC);
    must(rlx_exec_call(exec, &in, 1, &out, 1) == RLX_OK, argv[i]);
    timespec_get(&b, TIME_UTC);
    const float *scores = rlx_tensor_data(out);
    int64_t best = 0;
    for (int64_t k = 1; k < rlx_tensor_count(out); k++) best = scores[k] > scores[best] ? k : best;
    name_label(config, types, best, scores[best], label);
    printf("%-28s %-12s %.4f %6.2f ms\n", argv[i], label, (double)scores[best],
           1e3 * (double)(b.tv_sec - a.tv_sec) + 1e-6 * (double)(b.tv_nsec - a.tv_nsec));
  }
  rlx_tensor_free(in), rlx_tensor_free(out), rlx_exec_free(exec), rlx_graph_free(graph);
  free(config), free(types);
}
