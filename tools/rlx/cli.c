/* rlx/cli.c: the command line against its tables: parsing, checking values, near misses. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F(id, name, letter, value, check, commands, help) \
  {name, letter, value, CHECK_##check, commands, help},
const flag_row cli_flags[FLAG_COUNT] = {FLAGS(F)};
#undef F

#define C(name, operands, least, most, summary) {#name, operands, least, most, summary, cmd_##name},
const command cli_commands[] = {COMMANDS(C)};
#undef C
const size_t cli_n_commands = sizeof cli_commands / sizeof *cli_commands;

bool cli_takes(const command *c, const flag_row *f) {
  return (f->commands >> (c - cli_commands) & 1u) != 0;
}

/* --- near misses */

enum { NAME_MAX_LENGTH = 32 };

/* Edits (insert, drop, replace, swap neighbours) between two words; a word that starts the other is
 * one edit away, a word too long to compare is far. */
static size_t word_distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  if (n > NAME_MAX_LENGTH || m > NAME_MAX_LENGTH) return SIZE_MAX;
  if (n >= 2 && strncmp(a, b, n) == 0) return 1;
  size_t d[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
  for (size_t i = 0; i <= n; i++) {
    for (size_t j = 0; j <= m; j++) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
      if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
      d[i][j] = best;
    }
  }
  return d[n][m];
}

typedef struct nearest {
  const char *wanted, *found;
  size_t distance;
} nearest;

static nearest nearest_start(const char *wanted) {
  return (nearest){wanted, NULL, strlen(wanted) / 3 + 2};
}
static void nearest_try(nearest *n, const char *candidate) {
  size_t d = word_distance(n->wanted, candidate);
  if (d >= n->distance) return;
  n->distance = d;
  n->found = candidate;
}

const command *cli_command(const char *name) {
  nearest near = nearest_start(name);
  const char *end = strrchr(name, '.');
  if (end && (strcmp(end, ".onnx") == 0 || strcmp(end, ".rlx") == 0)) {
    fail_usage(NULL, "no command '%s'; did you mean 'rlx run %s'?", name, name);
    return NULL;
  }
  for (size_t i = 0; i < cli_n_commands; i++) {
    if (strcmp(name, cli_commands[i].name) == 0) return &cli_commands[i];
    nearest_try(&near, cli_commands[i].name);
  }
  if (near.found) {
    fail_usage(NULL, "no command '%s'; did you mean '%s'?", name, near.found);
  } else {
    fail_usage(NULL, "no command '%s'", name);
  }
  return NULL;
}

static int no_flag(const command *c, const char *arg, const char *name) {
  nearest near = nearest_start(name);
  for (size_t i = 0; i < FLAG_COUNT; i++) {
    if (cli_takes(c, &cli_flags[i])) nearest_try(&near, cli_flags[i].name);
  }
  if (near.found) {
    return fail_usage(c, "%s has no flag '%s'; did you mean '--%s'?", c->name, arg, near.found);
  }
  return fail_usage(c, "%s has no flag '%s'", c->name, arg);
}

/* --- values */

bool parse_shape(const char *s, int64_t *dims, size_t *out_rank) {
  size_t rank = 0;
  while (*s || rank) {
    char *end;
    errno = 0;
    if (*s < '0' || *s > '9' || rank == RLX_MAX_RANK) return false;
    dims[rank++] = strtoll(s, &end, 10);
    if (errno || (*end && *end != ',')) return false;
    s = end + 1;
    if (!*end) break;
  }
  *out_rank = rank;
  return true;
}

static bool parse_whole(const char *s, uint64_t *out) {
  char *end;
  errno = 0;
  *out = strtoull(s, &end, 10);
  return *s >= '0' && *s <= '9' && !*end && !errno;
}

static int word_index(const char *list, const char *s) {
  size_t n = strlen(s);
  for (int i = 1; *list; i++) {
    size_t m = strcspn(list, "|");
    if (n == m && memcmp(list, s, n) == 0) return i;
    list += m + (list[m] == '|');
  }
  return 0;
}

static bool ok_text(const char *s) { return *s != '\0'; }
static bool ends_in(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n > m && strcmp(s + n - m, end) == 0;
}
bool names_tensors(const char *s) { return ends_in(s, ".npz") || ends_in(s, ".safetensors"); }
static bool ok_pair(const char *s) {
  const char *last = strrchr(s, '=');
  return last && last != s && last[1];
}
static bool ok_numbers(const char *s) {
  const char *last = strrchr(s, '=');
  if (!last || last == s || strpbrk(last, " \t\n\v\f\r")) return false;
  char *end;
  do {
    s = last + 1;
    strtod(s, &end);
    last = end;
  } while (end != s && *end == ',');
  return end != s && !*end;
}
static bool ok_shape(const char *s) {
  int64_t dims[RLX_MAX_RANK];
  size_t rank;
  const char *last = strrchr(s, '=');
  return last && last != s && parse_shape(last + 1, dims, &rank);
}
static bool ok_whole(const char *s) {
  uint64_t n;
  return parse_whole(s, &n);
}
static bool ok_count(const char *s) {
  uint64_t n;
  return parse_whole(s, &n) && n >= 1 && n <= 65536;
}
static bool ok_real(const char *s) {
  char *end;
  double value = strtod(s, &end);
  return end != s && !*end && value >= 0 && isfinite(value);
}
static bool ok_seconds(const char *s) {
  return ok_real(s) && strtod(s, NULL) <= 86400;
}

/* CHECK_WORDS has its list in the flag's row; `wants` is NULL where that row says it best. */
static const struct {
  bool (*ok)(const char *s);
  const char *wants;
} checks[] = {
    [CHECK_TEXT] = {ok_text, NULL},
    [CHECK_TENSORS] = {names_tensors, "a name that ends in .npz or .safetensors"},
    [CHECK_PAIR] = {ok_pair, NULL},
    [CHECK_WORDS] = {NULL, NULL},
    [CHECK_NUMBERS] = {ok_numbers, "NAME=NUMBER or NAME=NUMBER,NUMBER,..."},
    [CHECK_SHAPE] = {ok_shape, "NAME=SIZE,SIZE,... with sizes that are whole numbers"},
    [CHECK_WHOLE] = {ok_whole, "a whole number"},
    [CHECK_COUNT] = {ok_count, "a whole number from 1 to 65536"},
    [CHECK_REAL] = {ok_real, "a number that is not negative"},
    [CHECK_SECONDS] = {ok_seconds, "a number of seconds from 0 to 86400"},
};

static int check_value(const command *c, const flag_row *f, const char *value) {
  const char *wants = checks[f->check].wants ? checks[f->check].wants : f->value;
  if (!value) return fail_usage(c, "--%s needs a value: %s", f->name, wants);
  bool (*ok)(const char *s) = checks[f->check].ok;
  if (ok ? ok(value) : word_index(f->value, value) > 0) return EXIT_OK;
  return fail_usage(c, "--%s wants %s, not '%s'", f->name, wants, value);
}

/* --- parsing */

/* The flag that `arg` names for this command ("--name", "--name=value", "-x"), or NULL;
 * *out_joined is what follows a '='. */
static const flag_row *match_flag(const command *c, const char *arg, const char **out_joined) {
  bool is_long = arg[1] == '-';
  size_t n = is_long ? strcspn(arg + 2, "=") : 0;
  *out_joined = is_long && arg[2 + n] ? arg + 3 + n : NULL;
  for (size_t i = 0; i < FLAG_COUNT; i++) {
    const flag_row *f = &cli_flags[i];
    bool same = is_long ? strlen(f->name) == n && memcmp(f->name, arg + 2, n) == 0
                        : f->letter && arg[1] == f->letter && !arg[2];
    if (same && cli_takes(c, f)) return f;
  }
  return NULL;
}

/* Is an argument no flag? A negative number is none: it gets the message of a bad number. */
static bool is_value(const char *arg) {
  return arg[0] != '-' || !arg[1] || (arg[1] >= '0' && arg[1] <= '9') || arg[1] == '.';
}

/* Consumes argv[*at] and, for a flag with a value, the next one. */
static int parse_flag(const command *c, int argc, char **argv, int *at, args *out) {
  const char *arg = argv[*at], *value;
  const flag_row *f = match_flag(c, arg, &value);
  if (!f) {
    char name[NAME_MAX_LENGTH + 2] = "";
    strncpy(name, arg + strspn(arg, "-"), sizeof name - 1);
    name[strcspn(name, "=")] = '\0';
    return no_flag(c, arg, name);
  }
  if (f->check == CHECK_NONE) {
    if (value) return fail_usage(c, "--%s takes no value", f->name);
    value = "";
  } else {
    if (!value && *at + 1 < argc && is_value(argv[*at + 1])) value = argv[++*at];
    int code = check_value(c, f, value);
    if (code) return code;
  }
  out->given[out->n_given].flag = (flag_id)(f - cli_flags);
  out->given[out->n_given++].value = value;
  if (f == &cli_flags[FLAG_NO_RULE]) out->no_rules[out->n_no_rules++] = value;
  if (f == &cli_flags[FLAG_KEEP_F32]) out->keep_f32[out->n_keep_f32++] = value;
  return EXIT_OK;
}

int cli_parse(const command *c, int argc, char **argv, args *out) {
  *out = (args){.command = c};
  out->operands = must_alloc((size_t)argc, sizeof *out->operands);
  out->given = must_alloc((size_t)argc, sizeof *out->given);
  out->no_rules = must_alloc((size_t)argc, sizeof *out->no_rules);
  out->keep_f32 = must_alloc((size_t)argc, sizeof *out->keep_f32);
  bool flags = true;
  for (int i = 0; i < argc; i++) {
    if (flags && strcmp(argv[i], "--") == 0) {
      flags = false;
    } else if (flags && argv[i][0] == '-' && argv[i][1]) {
      int code = parse_flag(c, argc, argv, &i, out);
      if (code) return code;
      if (args_has(out, FLAG_HELP)) return EXIT_OK; /* before any complaint about the rest */
    } else if (out->n_operands == c->most) {
      return fail_usage(c, "%s: '%s' is one argument too many", c->name, argv[i]);
    } else {
      out->operands[out->n_operands++] = argv[i];
    }
  }
  if (out->n_operands < c->least) return fail_usage(c, "%s needs %s", c->name, c->operands);
  return EXIT_OK;
}

void args_free(args *a) {
  free(a->operands);
  free(a->given);
  free(a->no_rules);
  free(a->keep_f32);
}

const char *args_value(const args *a, flag_id flag) {
  for (size_t i = a->n_given; i-- > 0;) {
    if (a->given[i].flag == flag) return a->given[i].value;
  }
  return NULL;
}

bool args_has(const args *a, flag_id flag) { return args_value(a, flag) != NULL; }

uint64_t args_whole(const args *a, flag_id flag, uint64_t missing) {
  const char *value = args_value(a, flag);
  return value ? strtoull(value, NULL, 10) : missing;
}

double args_real(const args *a, flag_id flag, double missing) {
  const char *value = args_value(a, flag);
  return value ? strtod(value, NULL) : missing;
}

int args_word(const args *a, flag_id flag) {
  const char *value = args_value(a, flag);
  return value ? word_index(cli_flags[flag].value, value) : 0;
}
