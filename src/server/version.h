/*
 * version.h - the version of SessionGate: stated here, read by CMakeLists.txt and by the module.
 */
#ifndef SESSIONGATE_VERSION_H
#define SESSIONGATE_VERSION_H

#define SESSIONGATE_VERSION "1.0.0"
#define SESSIONGATE_VERSION_NUMBER 10000 /* the same as a number, for MODULE LIST */

#endif
