# The innermost loops of CPU kernels (src/cpu/loops), once per CPU level of src/cpu/levels.def. A level
# whose flags this compiler does not know is left out.
include(CheckCCompilerFlag)
set(cpu_flags_avx2 -mavx2 -mfma -mf16c)
set(cpu_flags_avx512 ${cpu_flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
  -mprefer-vector-width=512)
set(cpu_flags_avx512vnni ${cpu_flags_avx512} -mavx512vnni)
set(cpu_flags_avx512bf16 ${cpu_flags_avx512vnni} -mavx512bf16)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(cpu_levels avx512bf16 avx512vnni avx512 avx2 sse2)
else()
  set(cpu_levels generic)
endif()

# Optimised in debug builds too. Loops may contract, and reorder what the pragmas in them name; errno
# and traps are nobody's. As properties of the files these come behind the flags of every target.
file(GLOB cpu_loops CONFIGURE_DEPENDS src/cpu/loops/*.c)
set_source_files_properties(${cpu_loops} PROPERTIES COMPILE_OPTIONS
  "-O3;-ffp-contract=fast;-fopenmp-simd;-fno-math-errno;-fno-trapping-math;$<$<C_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>")

set(cpu_objects)
set(cpu_built)
foreach(level ${cpu_levels})
  string(JOIN " " flags ${cpu_flags_${level}})
  check_c_compiler_flag("${flags}" CPU_FLAGS_${level})
  if(NOT CPU_FLAGS_${level})
    continue()
  endif()
  add_library(cpu_${level} OBJECT ${cpu_loops})
  set_target_properties(cpu_${level} PROPERTIES POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden)
  target_include_directories(cpu_${level} PRIVATE include src)
  target_compile_definitions(cpu_${level} PRIVATE CPU_LEVEL=${level})
  target_compile_options(cpu_${level} PRIVATE ${cpu_flags_${level}})
  target_link_libraries(cpu_${level} PRIVATE rlx_flags)
  list(APPEND cpu_objects $<TARGET_OBJECTS:cpu_${level}>)
  list(APPEND cpu_built CPU_BUILT_${level})
endforeach()
set_source_files_properties(src/cpu/level.c PROPERTIES COMPILE_DEFINITIONS "${cpu_built}")
