/* rlx/embed.c: `rlx embed`: texts to vectors, or the texts nearest to a query. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "model.h"

enum { DEFAULT_TOP = 10 };

/* --- texts: of the command line, and for "-" the lines of standard input */

typedef struct texts {
  const char **data; /* argv's, or lines of `input` */
  size_t n, room;
  text input;
} texts;

static void add(texts *t, const char *line) {
  t->data = must_grow(t->data, t->n, &t->room, sizeof *t->data);
  t->data[t->n++] = line;
}

/* Line feeds, and carriage returns before them, end a line. A zero byte counts as a space. A search
 * leaves empty lines out. */
static int add_lines(const args *a, texts *t) {
  char part[4096];
  size_t n;
  if (t->input.data) return EXIT_OK; /* it has been read */
  while ((n = fread(part, 1, sizeof part - 1, stdin)) > 0) {
    for (size_t i = 0; i < n; i++) part[i] = part[i] ? part[i] : ' ';
    part[n] = '\0';
    text_add(&t->input, part);
  }
  if (ferror(stdin)) return fail("cannot read standard input");
  for (char *line = t->input.data, *next; line && *line; line = next) {
    next = line + strcspn(line, "\n");
    if (next > line && next[-1] == '\r') next[-1] = '\0';
    if (*next) *next++ = '\0';
    if (*line || !args_has(a, FLAG_SEARCH)) add(t, line);
  }
  return EXIT_OK;
}

static int gather(const args *a, texts *out) {
  int code = a->n_operands ? EXIT_OK : add_lines(a, out);
  for (size_t i = 0; i < a->n_operands && code == EXIT_OK; i++) {
    if (strcmp(a->operands[i], "-") == 0) {
      code = add_lines(a, out);
    } else {
      add(out, a->operands[i]);
    }
  }
  if (code == EXIT_OK && out->n == 0) return fail("there are no texts");
  return code;
}

/* --- vectors */

static rlx_status embed(const args *a, const texts *t, rlx_tensor **out) {
  rlx_encoder *encoder = NULL;
  rlx_exec_options exec;
  rlx_encoder_options o = RLX_OPTIONS(rlx_encoder_options);
  o.pooling = (rlx_pooling)args_word(a, FLAG_POOLING);
  o.keep_norm = args_has(a, FLAG_NO_NORMALIZE);
  o.batch = (uint32_t)args_whole(a, FLAG_BATCH, 0);
  o.exec = &exec;
  host_progress("reading the model");
  model_options(a, &exec);
  rlx_status status = rlx_encoder_load(args_value(a, FLAG_MODEL), &o, &encoder);
  host_progress("running");
  if (status == RLX_OK) status = rlx_encoder_embed(encoder, t->data, t->n, out);
  rlx_encoder_free(encoder);
  return status;
}

static void show_vectors(const args *a, const texts *t, const rlx_tensor *vectors, text *out) {
  const bool as_json = args_has(a, FLAG_JSON);
  const int64_t width = rlx_tensor_dims(vectors)[1];
  json j = {out, false};
  if (as_json) {
    json_open(&j, NULL, '{');
    json_int(&j, "width", width);
    json_open(&j, "embeddings", '[');
  }
  for (size_t i = 0; i < t->n; i++) {
    if (as_json) {
      json_open(&j, NULL, '{');
      json_text(&j, "text", t->data[i]);
      json_open(&j, "vector", '[');
    }
    for (int64_t k = 0; k < width; k++) {
      if (k) text_add(out, as_json ? "," : " ");
      text_add_element(out, vectors, (int64_t)i * width + k, true);
    }
    if (as_json) {
      json_close(&j, ']');
      json_close(&j, '}');
    } else {
      text_add(out, "\n");
    }
  }
  if (!as_json) return;
  json_close(&j, ']');
  json_close(&j, '}');
  text_add(out, "\n");
}

/* --- search */

typedef struct hit {
  size_t index;
  double score;
} hit;

static int by_score(const void *a, const void *b) {
  const hit *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->index < y->index ? -1 : 1;
}

static double cosine(const float *x, const float *y, int64_t width) {
  double xy = 0, xx = 0, yy = 0;
  for (int64_t i = 0; i < width; i++) {
    xy += (double)x[i] * (double)y[i];
    xx += (double)x[i] * (double)x[i];
    yy += (double)y[i] * (double)y[i];
  }
  return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

/* The query is the last of the texts. */
static void show_hits(const args *a, const texts *t, const rlx_tensor *vectors, text *out) {
  const size_t n = t->n - 1;
  const int64_t width = rlx_tensor_dims(vectors)[1];
  const float *data = rlx_tensor_data(vectors);
  hit *hits = must_alloc(n, sizeof *hits);
  for (size_t i = 0; i < n; i++) {
    hits[i] = (hit){i, cosine(data + (int64_t)i * width, data + (int64_t)n * width, width)};
  }
  qsort(hits, n, sizeof *hits, by_score);
  const size_t top = (size_t)args_whole(a, FLAG_TOP, DEFAULT_TOP);
  json j = {out, false};
  const bool as_json = args_has(a, FLAG_JSON);
  if (as_json) {
    json_open(&j, NULL, '{');
    json_text(&j, "query", t->data[n]);
    json_open(&j, "hits", '[');
  }
  for (size_t i = 0; i < n && i < top; i++) {
    const char *line = t->data[hits[i].index];
    if (as_json) {
      json_open(&j, NULL, '{');
      json_int(&j, "index", (int64_t)hits[i].index);
      json_real(&j, "score", hits[i].score);
      json_text(&j, "text", line);
      json_close(&j, '}');
    } else {
      text_addf(out, "%7.4f  ", hits[i].score);
      text_add_safe(out, line);
      text_add(out, "\n");
    }
  }
  free(hits);
  if (!as_json) return;
  json_close(&j, ']');
  json_close(&j, '}');
  text_add(out, "\n");
}

int cmd_embed(const args *a, text *out) {
  const char *query = args_value(a, FLAG_SEARCH);
  if (!args_has(a, FLAG_MODEL)) return fail_usage(a->command, "embed needs --model DIR");
  texts t = {0};
  rlx_tensor *vectors = NULL;
  int code = gather(a, &t);
  if (code == EXIT_OK) {
    if (query) add(&t, query);
    rlx_status status = embed(a, &t, &vectors);
    if (status != RLX_OK) code = fail_status(status);
  }
  if (code == EXIT_OK) (query ? show_hits : show_vectors)(a, &t, vectors, out);
  rlx_tensor_free(vectors);
  text_free(&t.input);
  free(t.data);
  return code;
}
