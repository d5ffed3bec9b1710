# NSP_C_FLAGS(VARIABLE, FLAGS, [required])
# NSP_LINK_FLAGS(VARIABLE, FLAGS, [required])
#
# Append FLAGS, tried all together, to VARIABLE when the compiler (or linker) takes them. Flags that
# are "required" and not taken end the configuration.

AC_DEFUN([NSP_TRY_FLAGS], [
  AC_MSG_CHECKING([whether $CC takes $2])
  nsp_saved_CFLAGS=$CFLAGS
  nsp_saved_LDFLAGS=$LDFLAGS
  AS_IF([test $4 = link], [LDFLAGS="$LDFLAGS $2"], [CFLAGS="$CFLAGS -Werror $2"])
  # -static-pie links only what was compiled as position-independent.
  AS_IF([test $4 = link], [CFLAGS="$CFLAGS $OWN_CFLAGS"])
  m4_if([$4], [link],
    [AC_LINK_IFELSE([AC_LANG_PROGRAM([@%:@include <stdio.h>], [puts("");])], [nsp_taken=yes], [nsp_taken=no])],
    [AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [nsp_taken=yes], [nsp_taken=no])])
  CFLAGS=$nsp_saved_CFLAGS
  LDFLAGS=$nsp_saved_LDFLAGS
  AC_MSG_RESULT([$nsp_taken])
  AS_IF([test $nsp_taken = yes],
    [AS_IF([test "x$$1" = x], [$1="$2"], [$1="$$1 $2"])],
    [m4_if([$3], [required], [AC_MSG_ERROR([$CC does not take $2])])])
])
AC_DEFUN([NSP_C_FLAGS], [NSP_TRY_FLAGS([$1], [$2], [$3], [compile])])
AC_DEFUN([NSP_LINK_FLAGS], [NSP_TRY_FLAGS([$1], [$2], [$3], [link])])
