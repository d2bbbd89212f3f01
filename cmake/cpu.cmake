# The innermost loops of CPU kernels (src/cpu/loops), once per CPU level of src/cpu/levels.def.
# Loops may contract and reorder what the pragmas in them name; errno and traps are nobody's.
set(cpu_flags_avx512vnni -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512bf16
  -mfma -mf16c -mprefer-vector-width=512)
set(cpu_flags_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
  -mprefer-vector-width=512)
set(cpu_flags_avx2 -mavx2 -mfma -mf16c)
set(cpu_flags_sse2)
set(cpu_flags_generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(cpu_levels avx512vnni avx512 avx2 sse2)
else()
  set(cpu_levels generic)
endif()

file(GLOB cpu_loops CONFIGURE_DEPENDS src/cpu/loops/*.c)
set(cpu_objects)
foreach(level ${cpu_levels})
  add_library(cpu_${level} OBJECT ${cpu_loops})
  set_target_properties(cpu_${level} PROPERTIES POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden)
  target_include_directories(cpu_${level} PRIVATE include src)
  target_compile_definitions(cpu_${level} PRIVATE CPU_LEVEL=${level} CPU_LEVEL_${level})
  target_link_libraries(cpu_${level} PRIVATE rlx_flags)
  target_compile_options(cpu_${level} PRIVATE -O3 -ffp-contract=fast -fopenmp-simd -fno-math-errno
    -fno-trapping-math ${cpu_flags_${level}})
  list(APPEND cpu_objects $<TARGET_OBJECTS:cpu_${level}>)
endforeach()
