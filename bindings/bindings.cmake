# The Lua module tide/core.so (links no liblua) and the program tide.
set(BINDINGS bindings/state.c bindings/object.c bindings/args.c bindings/tensor.c bindings/scope.c bindings/create.c bindings/index.c bindings/grad.c bindings/compile.c
  bindings/optim.c bindings/data.c bindings/files.c bindings/disk.c bindings/message.c bindings/worker.c bindings/bytes.c bindings/image.c bindings/inspect.c bindings/program.c)
add_library(bindings OBJECT ${BINDINGS})
target_include_directories(bindings PRIVATE ${CMAKE_SOURCE_DIR} ${LUA_INCLUDE_DIRS})
target_compile_definitions(bindings PRIVATE TIDE_BUILD)
add_dependencies(bindings generated)

# exports luaopen_tide_core only
add_library(tide_core_lua MODULE $<TARGET_OBJECTS:bindings> ${TIDE_OBJECTS})
set_target_properties(tide_core_lua PROPERTIES PREFIX "" OUTPUT_NAME core LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tide_module/tide)
file(WRITE ${CMAKE_BINARY_DIR}/core.map "{ global: luaopen_tide_core; local: *; };\n")
target_link_options(tide_core_lua PRIVATE -Wl,--version-script=${CMAKE_BINARY_DIR}/core.map)
target_link_libraries(tide_core_lua PRIVATE ${TIDE_LIBS})

# ---- for hosts: tide.h, engine.h and the library's Lua part in one library ----
file(GLOB_RECURSE LUA_PART CONFIGURE_DEPENDS lua/tide/*.lua)
list(FILTER LUA_PART EXCLUDE REGEX "/prompt/")
add_custom_command(OUTPUT ${GEN}/lua_part.c
  COMMAND ${LUA5_4} ${CMAKE_SOURCE_DIR}/bindings/embed.lua ${GEN}/lua_part.c ${CMAKE_SOURCE_DIR}/lua ${LUA_PART}
  DEPENDS ${LUA_PART} bindings/embed.lua COMMENT "the library's Lua part as C")
add_library(engine OBJECT bindings/engine.c bindings/engine_run.c bindings/sandbox.c bindings/pattern.c bindings/listing.c ${GEN}/lua_part.c)
target_include_directories(engine PRIVATE ${CMAKE_SOURCE_DIR} ${LUA_INCLUDE_DIRS})
target_compile_definitions(engine PRIVATE TIDE_BUILD)
add_dependencies(engine generated)
set(ENGINE_OBJECTS $<TARGET_OBJECTS:engine> $<TARGET_OBJECTS:bindings> ${TIDE_OBJECTS})
add_library(tide_lua_shared SHARED ${ENGINE_OBJECTS})
set_target_properties(tide_lua_shared PROPERTIES OUTPUT_NAME tide-lua SOVERSION 0)
target_link_libraries(tide_lua_shared PRIVATE ${TIDE_LIBS} ${LUA_LINK_LIBRARIES})
add_library(tide_lua_static STATIC ${ENGINE_OBJECTS})
set_target_properties(tide_lua_static PROPERTIES OUTPUT_NAME tide-lua)
target_link_libraries(tide_lua_static PUBLIC ${LUA_LINK_LIBRARIES} ${TIDE_LIBS})
file(WRITE ${CMAKE_BINARY_DIR}/tide-lua.pc "prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: tide-lua
Description: Tide with Lua scripts, for C programs
Version: ${PROJECT_VERSION}
Requires: lua5.4
Libs: -L\${libdir} -ltide-lua
Libs.private: -lm -lpthread -ldl
Cflags: -I\${includedir}
")

# ---- the program; line editing is loaded at run time ----
tide_optional(EDIT libedit "stdio.h;histedit.h" "at run time" "the prompt reads plain lines")
include(GNUInstallDirs)
add_executable(tide bindings/cli/tide.c bindings/cli/state.c bindings/cli/stop.c bindings/cli/line.c) # libtide-lua lies beside it, or installed
target_include_directories(tide PRIVATE ${CMAKE_SOURCE_DIR} ${LUA_INCLUDE_DIRS})
set_target_properties(tide PROPERTIES BUILD_RPATH "$ORIGIN" INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_compile_definitions(tide PRIVATE TIDE_LUA_DIR="${CMAKE_INSTALL_PREFIX}/share/lua/5.4"
  $<$<BOOL:${TIDE_HAVE_EDIT}>:TIDE_HAVE_EDIT>)
target_link_libraries(tide PRIVATE tide_lua_shared ${TIDE_LIBS} ${LUA_LINK_LIBRARIES})

install(TARGETS tide_lua_shared tide_lua_static LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES bindings/engine.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} RENAME tide_engine.h)
install(FILES ${CMAKE_BINARY_DIR}/tide-lua.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(TARGETS tide RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS tide_core_lua LIBRARY DESTINATION lib/lua/5.4/tide)
install(DIRECTORY lua/tide DESTINATION share/lua/5.4)
