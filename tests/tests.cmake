# Every tests/c/test_NAME.c is a cmocka program, every tests/lua/test_NAME.lua a busted file. count.sh makes each close
# with "N passed, N failed".
find_package(PkgConfig)
pkg_check_modules(CMOCKA cmocka)
set(COUNT sh ${CMAKE_SOURCE_DIR}/tests/count.sh)
add_compile_definitions(TIDE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")

if(CMOCKA_FOUND)
  file(GLOB C_TESTS CONFIGURE_DEPENDS tests/c/test_*.c)
  add_library(reference OBJECT tests/c/reference.c)
  add_dependencies(reference generated)
  foreach(source ${C_TESTS})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source} $<TARGET_OBJECTS:reference>)
    target_link_libraries(${name} tide_static ${CMOCKA_LIBRARIES})
    add_test(NAME ${name} COMMAND ${COUNT} $<TARGET_FILE:${name}> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endforeach()
  target_sources(test_engine PRIVATE $<TARGET_OBJECTS:engine> $<TARGET_OBJECTS:bindings>)
  target_include_directories(test_engine PRIVATE ${CMAKE_SOURCE_DIR} ${LUA_INCLUDE_DIRS})
  target_link_libraries(test_engine ${LUA_LINK_LIBRARIES})
  # the linker puts the test between the engine and its allocator; the second run is Lua's
  target_sources(test_failures PRIVATE $<TARGET_OBJECTS:bindings>)
  target_include_directories(test_failures PRIVATE ${CMAKE_SOURCE_DIR} ${LUA_INCLUDE_DIRS})
  target_link_libraries(test_failures ${LUA_LINK_LIBRARIES})
  target_link_options(test_failures PRIVATE
    -Wl,--wrap=tide_alloc,--wrap=tide_alloc0,--wrap=tide_grow,--wrap=tide_heap_open)
else()
  message(STATUS "cmocka: not found; the C tests are not built")
endif()

# ---- arithmetic: a sample of every function, and the same bits from every instruction set ----
foreach(isa ${ISAS})
  add_executable(accuracy_${isa} tests/accuracy.c)
  target_compile_options(accuracy_${isa} PRIVATE -O2 ${ISA_${isa}})
  target_link_libraries(accuracy_${isa} m)
endforeach()
if(TARGET accuracy_avx2)
  add_test(NAME accuracy COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/isa.sh $<TARGET_FILE:accuracy_avx2>)
  add_test(NAME accuracy_bits COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/isa.sh --same $<TARGET_FILE:accuracy_baseline>
    $<TARGET_FILE:accuracy_avx2> $<TARGET_FILE:accuracy_avx512>)
else()
  add_test(NAME accuracy COMMAND ${COUNT} $<TARGET_FILE:accuracy_baseline>)
endif()

# ---- Lua ----
find_program(BUSTED busted)
if(BUSTED AND TARGET tide)
  add_library(terminal MODULE tests/prompt/terminal.c) # a pseudo-terminal that the prompt is tried on
  set_target_properties(terminal PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tide_module)
  target_include_directories(terminal PRIVATE ${LUA_INCLUDE_DIRS})
  target_link_libraries(terminal PRIVATE util)
  file(GLOB LUA_TESTS CONFIGURE_DEPENDS tests/lua/test_*.lua)
  if(TIDE_SANITIZE)
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libasan.so OUTPUT_VARIABLE ASAN OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  foreach(source ${LUA_TESTS})
    get_filename_component(name ${source} NAME_WE)
    add_test(NAME lua_${name} COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/busted.sh ${CMAKE_BINARY_DIR} ${source})
    set_tests_properties(lua_${name} PROPERTIES ENVIRONMENT "TIDE_PRELOAD=${ASAN}")
  endforeach()
  add_test(NAME bits COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/bits.sh ${CMAKE_BINARY_DIR})
  set_tests_properties(bits PROPERTIES ENVIRONMENT "TIDE_PRELOAD=${ASAN}")
elseif(NOT BUSTED)
  message(STATUS "busted: not found; the Lua tests are not run")
endif()

# ---- checkpoints: processes that are killed, disks that fail ----
add_library(faults MODULE tests/checkpoint/faults.c)
target_include_directories(faults PRIVATE ${LUA_INCLUDE_DIRS})
target_compile_options(faults PRIVATE -fvisibility=default)
target_link_libraries(faults ${CMAKE_DL_LIBS})
set_target_properties(faults PROPERTIES PREFIX "")
add_test(NAME faults COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/faults.sh ${CMAKE_BINARY_DIR} $<TARGET_FILE:faults>)
add_test(NAME kill COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/kill.sh ${CMAKE_BINARY_DIR})

# ---- the benchmark still runs: every row once, small, without PyTorch ----
add_test(NAME bench COMMAND ${COUNT} $<TARGET_FILE:tide> ${CMAKE_SOURCE_DIR}/tests/bench/run.lua)
set_tests_properties(bench PROPERTIES
  ENVIRONMENT "BENCH_QUICK=1;TIDE_PYTHON=;ROWS=;THREADS=2;LUA_PATH=${CMAKE_SOURCE_DIR}/lua/?.lua\\;${CMAKE_SOURCE_DIR}/lua/?/init.lua")

# ---- long training leaves nothing behind ----
if(TARGET tide)
  add_test(NAME memory COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/memory.sh ${CMAKE_BINARY_DIR})
endif()

# ---- small enough to carry along ----
if(TARGET tide)
  add_test(NAME size COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/size.sh ${CMAKE_BINARY_DIR})
endif()

# ---- random calls of the Lua API: errors, never a crash ----
if(TARGET tide)
  add_test(NAME misuse COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/misuse.sh ${CMAKE_BINARY_DIR})
endif()

# ---- as a C host sees it: installed headers and libraries, train.c built against them ----
add_test(NAME install COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/install.sh ${CMAKE_BINARY_DIR})

# ---- the core as one file: compiled by cc -O2, the bits of the library ----
if(NOT TIDE_SANITIZE)
  add_test(NAME amalgamation COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/amalgamation.sh ${CMAKE_BINARY_DIR} $<TARGET_OBJECTS:bindings>
    COMMAND_EXPAND_LISTS)
  set_tests_properties(amalgamation PROPERTIES COST 100) # long: early
endif()

# ---- the symbols that hosts may use ----
if(NOT TIDE_SANITIZE)
  add_test(NAME abi COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/abi.sh ${CMAKE_BINARY_DIR})
endif()

# ---- CUDA texts: compiled by the real NVRTC where it is, run by an emulator, compared with the CPU ----
find_program(GXX g++)
if(GXX AND CMOCKA_FOUND)
  set(PRELUDE core/program/math_bits.h core/program/math_exp.h core/program/math_circular.h core/program/math.h
    core/base/random.h core/device/cuda/space.h core/device/cuda/kernel.h)
  list(TRANSFORM PRELUDE PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE PRELUDE_FILES)
  add_custom_command(OUTPUT ${GEN}/cuda_prelude.c
    COMMAND ${LUA5_4} ${CMAKE_SOURCE_DIR}/core/device/cuda/embed.lua ${GEN}/cuda_prelude.c tide_cuda_prelude_text ${PRELUDE_FILES}
    DEPENDS ${PRELUDE_FILES} core/device/cuda/embed.lua)
  add_library(cuda_check OBJECT tests/cuda/check.c tests/cuda/emulator.c tests/cuda/nvrtc.c core/device/cuda/text.c
    core/device/cuda/plan.c ${GEN}/cuda_prelude.c)
  target_include_directories(cuda_check PRIVATE tests/c)
  add_dependencies(cuda_check generated)
  foreach(name test_cuda test_table)
    add_executable(${name} tests/cuda/${name}.c $<TARGET_OBJECTS:cuda_check> $<TARGET_OBJECTS:reference>)
    target_include_directories(${name} PRIVATE tests/c)
    target_link_libraries(${name} tide_static)
    if(NOT TIDE_SANITIZE) # fibres leave by longjmp, which confuses AddressSanitizer
      add_test(NAME ${name} COMMAND ${COUNT} $<TARGET_FILE:${name}> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    endif()
  endforeach()
  if(TEST test_table)
    set_tests_properties(test_table test_cuda PROPERTIES COST 100) # long: first
  endif()
  target_link_options(test_table PRIVATE -Wl,--wrap=tide_cpu_program) # what the engine runs goes through the test
else()
  message(STATUS "g++: not found; the CUDA texts are not run in the emulator")
endif()

# ---- documentation: what the sources yield, and every block of code in it runs ----
if(TARGET tide)
  add_test(NAME docs COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/docs/run.sh ${CMAKE_BINARY_DIR})
  set_tests_properties(docs PROPERTIES ENVIRONMENT "TIDE_PRELOAD=${ASAN}")
endif()

# ---- the rock ----
find_program(LUAROCKS luarocks)
if(LUAROCKS AND TARGET tide AND NOT TIDE_SANITIZE)
  add_test(NAME rock COMMAND ${COUNT} sh ${CMAKE_SOURCE_DIR}/tests/rock.sh ${CMAKE_BINARY_DIR})
elseif(NOT LUAROCKS)
  message(STATUS "luarocks: not found; the rock is not tried")
endif()
