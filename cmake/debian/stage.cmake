# What Debian wants otherwise than `cmake --install` leaves it. CPack runs this when the files of every package are staged.

file(MAKE_DIRECTORY ${CPACK_TEMPORARY_DIRECTORY})
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(share ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share)
  file(INSTALL ${CMAKE_CURRENT_LIST_DIR}/copyright DESTINATION ${share}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
endforeach()

set(share ${CPACK_TEMPORARY_DIRECTORY}/attune_tools/usr/share)
if(EXISTS ${share}/man/man1/attune.1)
  execute_process(COMMAND gzip -9n ${share}/man/man1/attune.1 COMMAND_ERROR_IS_FATAL ANY)
  file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
endif()
