/* tests/make_models.c: `make_models FOLDER`: the small models that cli_test.py runs. Public API. */
#include <rlx/rlx.h>
#include <stdio.h>

static const struct {
  const char *file, *text;
} models[] = {
    {"affine.rlx",
     "graph \"affine\" {\n"
     "  %1 = input name=\"x\" dtype=f32 dims=[batch,3]\n"
     "  %2 = constant data=f32[3]{1,2,3}\n"
     "  %3 = add(%1, %2)\n"
     "  return %3 \"y\"\n"
     "}\n"},
    /* Names that a command line, a zip file and JSON each find hard; two inputs share a size. */
    {"names.rlx",
     "graph \"na\\\"mes\" {\n"
     "  %1 = input name=\"a\" dtype=f32 dims=[n]\n"
     "  %2 = input name=\"a=b\" dtype=f32 dims=[n]\n"
     "  %3 = input name=\"scope/x:0\" dtype=f32 dims=[n]\n"
     "  %4 = add(%1, %2)\n"
     "  %5 = add(%4, %3) # \"la\\\"bel\"\n"
     "  return %4 \"out/y:0\", %5 \"quo\\\"te\\n\\\\\"\n"
     "}\n"},
    {"dtypes.rlx",
     "graph \"dtypes\" {\n"
     "  %1 = constant data=f32[4]{-1,0,2,100}\n"
     "  %2 = cast(%1) to=bool\n"
     "  %3 = cast(%1) to=i8\n"
     "  %4 = constant data=u64[2]{18446744073709551615,0}\n"
     "  %5 = cast(%1) to=f16\n"
     "  %6 = cast(%1) to=bf16\n"
     "  %7 = cast(%1) to=f64\n"
     "  %8 = cast(%1) to=c64\n"
     "  %9 = log(%1)\n"
     "  %10 = constant data=f32[0]{}\n"
     "  %11 = constant data=i64[]{9007199254740993}\n"
     "  return %2 \"bool\", %3 \"i8\", %4 \"u64\", %5 \"f16\", %6 \"bf16\", %7 \"f64\", %8 "
     "\"c64\", "
     "%9 \"nan\", %10 \"empty\", %11 \"i64\"\n"
     "}\n"},
    {"silu.rlx",
     "graph \"silu\" {\n"
     "  %1 = input name=\"x\" dtype=f32 dims=[n]\n"
     "  %2 = sigmoid(%1)\n"
     "  %3 = mul(%1, %2)\n"
     "  %4 = nonzero(%3)\n"
     "  %5 = neg(%4) # \"last\"\n"
     "  return %3 \"y\", %5 \"where\"\n"
     "}\n"},
    {"branch.rlx", /* an if in a branch of an if; the other branch has no operations */
     "graph \"branch\" {\n"
     "  %1 = input name=\"c\" dtype=bool\n"
     "  %2 = input name=\"x\" dtype=f32 dims=[n]\n"
     "  %3 = if(%1, %2, %1) then_graph=graph \"\" {\n"
     "    %1 = input name=\"x\" dtype=f32 dims=[n]\n"
     "    %2 = input name=\"c\" dtype=bool\n"
     "    %3 = constant data=f32[2]{1,2}\n"
     "    %4 = concat(%1, %3)\n"
     "    %5 = if(%2, %4) then_graph=graph \"\" {\n"
     "      %1 = input name=\"x\" dtype=f32 dims=[m]\n"
     "      %2 = exp(%1) # \"deep\"\n"
     "      return %2 \"y\"\n"
     "    } else_graph=graph \"\" {\n"
     "      %1 = input name=\"x\" dtype=f32 dims=[m]\n"
     "      %2 = concat(%1, %1)\n"
     "      return %2 \"y\"\n"
     "    }\n"
     "    return %5 \"y\"\n"
     "  } else_graph=graph \"\" {\n"
     "    %1 = input name=\"x\" dtype=f32 dims=[n]\n"
     "    return %1 \"y\"\n"
     "  }\n"
     "  %4 = neg(%3)\n"
     "  return %4 \"y\"\n"
     "}\n"},
    {"param.rlx",
     "graph \"param\" {\n"
     "  %1 = input name=\"x\" dtype=f32 dims=[2]\n"
     "  %2 = param name=\"w\" dtype=f32 dims=[2]\n"
     "  %3 = mul(%1, %2)\n"
     "  return %3 \"y\"\n"
     "}\n"},
    {"gather.rlx",
     "graph \"gather\" {\n"
     "  %1 = input name=\"index\" dtype=i64 dims=[1]\n"
     "  %2 = constant data=f32[3]{1,2,3}\n"
     "  %3 = gather(%2, %1)\n"
     "  return %3 \"y\"\n"
     "}\n"},
};

static rlx_status make(const char *folder, const char *file, const char *source) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  rlx_graph *g = NULL;
  rlx_status status = rlx_graph_parse(source, NULL, &g);
  if (status == RLX_OK) status = rlx_graph_save(g, path);
  if (status != RLX_OK) fprintf(stderr, "%s: %s\n", path, rlx_last_error());
  rlx_graph_free(g);
  return status;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    if (make(argv[1], models[i].file, models[i].text) != RLX_OK) return 1;
  }
  return 0;
}
