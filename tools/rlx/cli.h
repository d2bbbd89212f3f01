/* rlx/cli.h: the command line as data. COMMANDS and FLAGS are the only places that know what
 * exists: parsing, usage errors, suggestions and help are loops over them. */
#ifndef CLI_H
#define CLI_H

#include <rlx/rlx.h>

#include "text.h"

/* Exit codes. What the command line alone shows to be wrong is a usage error; what takes the model
 * or the machine to find out is a failed job. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* clang-format off */

/* C(name, operands, least, most, summary): each has a function `int cmd_<name>(args, out)`. */
#define COMMANDS(C)                                                                               \
  C(info, "", 0, 0, "show versions, devices, the BLAS in use and threads")                        \
  C(doctor, "", 0, 0, "check that this machine computes right and fast; exit status 1 if not")    \
  C(ops, "", 0, 0, "list all operations and the ONNX operators that are read")                    \
  C(inspect, "MODEL", 1, 1, "show what a model file holds")                                       \
  C(convert, "MODEL OUT.rlx", 2, 2, "write a model as a .rlx file, which opens at once")          \
  C(explain, "MODEL", 1, 1, "show what compiling makes of a model and how it runs")               \
  C(run, "MODEL", 1, 1, "run a model once and show its outputs")                                  \
  C(bench, "MODEL", 1, 1, "time a model")                                                         \
  C(compare, "MODEL", 1, 1, "compare one run with expected outputs, or find what differs")        \
  C(embed, "[TEXT]...", 0, SIZE_MAX,                                                              \
    "turn texts (none or -: lines of standard input) into vectors, or search them")               \
  C(conformance, "DIR", 1, 1, "run a folder of ONNX node tests")                                  \
  C(help, "[COMMAND]", 0, 1, "explain a command")

enum command_bit {
#define C(name, ...) BIT_INDEX_##name,
  COMMANDS(C)
#undef C
};
#define FOR(name) (1u << BIT_INDEX_##name)
#define FOR_RUNS (FOR(run) | FOR(bench))
#define FOR_MODEL (FOR_RUNS | FOR(compare))
#define FOR_DEVICE (FOR_MODEL | FOR(embed) | FOR(conformance) | FOR(explain))
#define FOR_ALL (~0u)

/* F(id, name, letter, value, check, commands, help): `value` names the argument, "" for none; of
 * WORDS it is the list of those allowed. */
#define FLAGS(F)                                                                                  \
  F(INPUT, "input", 0, "NAME=FILE.npy", PAIR, FOR_MODEL,                                          \
    "read the input or param NAME from a file; repeatable, wins over --inputs")                   \
  F(INPUTS, "inputs", 0, "FILE.npz", TENSORS, FOR_MODEL,                                          \
    "read inputs and params, keyed by name, from .npz or .safetensors")                           \
  F(VALUE, "value", 0, "NAME=NUMBER,...", NUMBERS, FOR_MODEL,                                     \
    "a scalar or list in the input's own dtype; repeatable, wins over --inputs")                  \
  F(RANDOM, "random", 0, "SEED", WHOLE, FOR_MODEL, "fill what is not given with random numbers")  \
  F(SHAPE, "shape", 0, "NAME=1,3,224,224", SHAPE, FOR_MODEL,                                      \
    "the shape of a random input; repeatable (without: open sizes are 1)")                        \
  F(OUTPUT, "output", 0, "FILE.npz", TENSORS, FOR_RUNS,                                           \
    "write the outputs, keyed by name, as .npz or .safetensors")                                  \
  F(MODE, "mode", 0, "lazy|eager|compiled|async", WORDS, FOR_DEVICE,                              \
    "evaluate at the end, or after each step; replay traces; run beside the caller")              \
  F(DEVICE, "device", 0, "cpu|gpu|reference", WORDS, FOR_DEVICE,                                  \
    "where to run (without: a GPU if there is one); reference is plain C, slow")                  \
  F(THREADS, "threads", 0, "N", COUNT, FOR_DEVICE,                                                \
    "CPU threads of a run, at most 256 (without: RLX_THREADS, else as many as cores)")            \
  F(KERNELS, "kernels", 0, "on|off", WORDS, FOR_DEVICE,                                           \
    "off: MLX runs everything, on a CPU too (without: as RLX_KERNELS says, else on)")             \
  F(PRECISION, "precision", 0, "f32|bf16", WORDS, FOR_DEVICE,                                     \
    "bf16: factors of matrix products are rounded, CPU kernels sum in f32")               \
  F(KEEP_F32, "keep-f32", 0, "NAME", TEXT, FOR_DEVICE,                                            \
    "an operation or a node that --precision leaves alone; repeatable")                           \
  F(TRACE, "trace", 0, "FILE.json", TEXT, FOR_RUNS,                                               \
    "write a timeline for chrome://tracing or Perfetto; of bench up to its warm-up")              \
  F(PROFILE, "profile", 0, "", NONE, FOR_RUNS, "run eagerly, show the time of each operation")    \
  F(EXPECTED, "expected", 0, "FILE.npz", TENSORS, FOR(compare),                                   \
    "the outputs wanted, keyed by name")                                                          \
  F(BISECT, "bisect", 0, "", NONE, FOR(compare),                                                  \
    "find the first node that differs from the reference device")                                 \
  F(RTOL, "rtol", 0, "R", REAL, FOR(compare), "allowed: atol + rtol |want|; default 1e-3")        \
  F(ATOL, "atol", 0, "A", REAL, FOR(compare), "see --rtol; default 1e-5")                         \
  F(REPORT, "report", 0, "FILE.tsv", TEXT, FOR(conformance),                                      \
    "write a row for each case: name, pass|fail|skip, reason")                                    \
  F(FILTER, "filter", 0, "GLOB", TEXT, FOR(conformance), "only cases whose name matches")         \
  F(MIN_SECONDS, "min-seconds", 0, "S", SECONDS, FOR(bench), "time for at least so long (1)")     \
  F(MODEL, "model", 0, "DIR", TEXT, FOR(embed),                                                   \
    "an encoder's folder, or an .onnx file with the tokenizer beside it; required")               \
  F(SEARCH, "search", 0, "QUERY", TEXT, FOR(embed), "list the texts nearest to the query")        \
  F(TOP, "top", 0, "N", COUNT, FOR(embed), "at most so many of them; default 10")                 \
  F(POOLING, "pooling", 0, "mean|cls", WORDS, FOR(embed),                                         \
    "how a vector is made of hidden states (without: as the folder says, else mean)")             \
  F(NO_NORMALIZE, "no-normalize", 0, "", NONE, FOR(embed), "do not scale vectors to norm 1")      \
  F(BATCH, "batch", 0, "N", COUNT, FOR(embed), "texts in one run; default 32")                    \
  F(NODES, "nodes", 'v', "", NONE, FOR(inspect) | FOR(explain), "list every node")                \
  F(NO_RULE, "no-rule", 0, "NAME", TEXT, FOR_DEVICE,                                              \
    "leave out a rewrite rule (`rlx explain` lists them); repeatable")                            \
  F(STRICT, "strict", 0, "", NONE, FOR_DEVICE, "leave out the rules that may change rounding")    \
  F(FORCE, "force", 'f', "", NONE, FOR(convert), "replace OUT.rlx if it is there")                \
  F(QUIET, "quiet", 'q', "", NONE, FOR(convert), "print nothing")                                 \
  F(DOT, "dot", 0, "FILE", TEXT, FOR(inspect), "write the graph for Graphviz")                    \
  F(MARKDOWN, "markdown", 0, "", NONE, FOR(ops), "write Markdown tables")                         \
  F(JSON, "json", 0, "", NONE, FOR_ALL & ~FOR(help), "print one JSON object")                     \
  F(HELP, "help", 'h', "", NONE, FOR_ALL, "show this help")

typedef enum flag_id {
#define F(id, ...) FLAG_##id,
  FLAGS(F)
#undef F
  FLAG_COUNT
} flag_id;

/* clang-format on */

typedef enum flag_check {
  CHECK_NONE, /* takes no value */
  CHECK_TEXT,
  CHECK_TENSORS, /* a name that ends in .npz or .safetensors */
  CHECK_PAIR,    /* NAME=FILE, where the name may hold '=' too */
  CHECK_NUMBERS, /* NAME=numbers */
  CHECK_SHAPE,   /* NAME=sizes */
  CHECK_WORDS,   /* one of the list */
  CHECK_WHOLE,   /* any uint64 */
  CHECK_COUNT,   /* 1 or more */
  CHECK_REAL,    /* 0 or more, may be a fraction */
  CHECK_SECONDS  /* the same up to a day */
} flag_check;

typedef struct flag_row {
  const char *name;
  char letter;
  const char *value;
  flag_check check;
  unsigned commands;
  const char *help;
} flag_row;
extern const flag_row cli_flags[FLAG_COUNT];

typedef struct command command;

/* A parsed command line. Owner: main; strings are argv's. */
typedef struct args {
  const command *command;
  const char **operands;
  size_t n_operands;
  struct args_given {
    flag_id flag;
    const char *value;
  } * given; /* in the order of the command line */
  size_t n_given;
  const char **no_rules, **keep_f32; /* all that were given */
  size_t n_no_rules, n_keep_f32;
} args;

struct command {
  const char *name, *operands;
  size_t least, most;
  const char *summary;
  int (*run)(const args *a, text *out); /* returns an exit code; main prints `out` */
};

extern const command cli_commands[];
extern const size_t cli_n_commands;
bool cli_takes(const command *c, const flag_row *f);
/* The command of that name, or NULL after a message with the nearest one. */
const command *cli_command(const char *name);
/* Parses what follows the command's name, checking each value. EXIT_OK, or EXIT_USAGE after a
 * message. args_free either way. */
int cli_parse(const command *c, int argc, char **argv, args *out);
void args_free(args *a);
/* Help of a command; NULL: of the program (help.c). */
void cli_help(const command *c, text *out);

/* The last value given for a flag, NULL if it was not given. */
const char *args_value(const args *a, flag_id flag);
bool args_has(const args *a, flag_id flag);
/* The number given, or `missing`; the parser has checked it. */
uint64_t args_whole(const args *a, flag_id flag, uint64_t missing);
double args_real(const args *a, flag_id flag, double missing);
bool names_tensors(const char *path); /* by its end: a file of named tensors */
/* 1 + the index of the word given in the flag's list, 0 if it was not given. */
int args_word(const args *a, flag_id flag);
/* Parses "1,3,224" into dims[RLX_MAX_RANK]; "" is the shape of a single number. */
bool parse_shape(const char *s, int64_t *dims, size_t *out_rank);

/* Messages on stderr, "rlx: ...", control characters escaped. Return the exit code. */
int fail(const char *format, ...) TEXT_PRINTF(1, 2); /* EXIT_FAILED */
int fail_status(rlx_status status);                  /* EXIT_FAILED: the library's last sentence */
int fail_usage(const command *c, const char *format, ...) TEXT_PRINTF(2, 3); /* EXIT_USAGE */

#define C(name, ...) int cmd_##name(const args *a, text *out);
COMMANDS(C)
#undef C

#endif
