# What Debian wants otherwise than `cmake --install` leaves it. CPack runs this when the files of every package are staged.

set(share ${CPACK_TEMPORARY_DIRECTORY}/attune_tools/usr/share)
if(EXISTS ${share}/man/man1/attune.1)
  execute_process(COMMAND gzip -9n ${share}/man/man1/attune.1 COMMAND_ERROR_IS_FATAL ANY)
  file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
endif()
