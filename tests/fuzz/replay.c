/*
 * replay.c - a fuzz target as a plain test: runs it over each file of a directory.
 *
 *     replay_<target> DIRECTORY
 *
 * Exit status: 0 when all held; 1 when there is no file or one cannot be read; 2 when the command
 * line is wrong. An input that does not hold ends the process; its name is the last one printed.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { PATH_ROOM = 4096 };

/* Runs the target over one file, from a block that ends where the input ends. */
static bool replay(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status) != 0) {
        perror(path);
        if (file) fclose(file);
        return false;
    }
    size_t len = (size_t)status.st_size;
    uint8_t *input = malloc(len ? len : 1);
    bool is_read = input && fread(input, 1, len, file) == len;
    fclose(file);
    if (is_read)
        LLVMFuzzerTestOneInput(input, len);
    else
        perror(path);
    free(input);
    return is_read;
}

int main(int argc, char **argv) {
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr,
                "%s: run a fuzz target over recorded inputs\n\n    %s DIRECTORY\n\n"
                "Each file of DIRECTORY is one input.\n",
                argv[0], argv[0]);
        return 2;
    }
    DIR *directory = opendir(argv[1]);
    if (!directory) {
        perror(argv[1]);
        return 1;
    }
    size_t inputs = 0;
    bool all_read = true;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.') continue;
        char path[PATH_ROOM];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        printf("%s\n", entry->d_name);
        fflush(stdout);
        all_read = replay(path) && all_read;
        inputs++;
    }
    closedir(directory);
    if (inputs == 0) fprintf(stderr, "%s: there is no input in it\n", argv[1]);
    printf("%zu inputs were run\n", inputs);
    return inputs > 0 && all_read ? 0 : 1;
}
