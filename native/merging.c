/* What several scans found, as one: cursor/merging.py. */

#include "core.h"

#define MOST_PAGES 32

/* The pairs of one scan, and where in their keys that begins by which they are ordered. */
typedef struct {
    PyObject *pairs;
    Py_ssize_t known, at, size; /* `at`: how many were taken */
    const char *bytes;          /* of the next one */
    Py_ssize_t length;
} Side;

/* Has the next key of a side at hand, if there is one; 0 if what is there is no key. */
static int look(Side *side)
{
    if (side->at >= side->size)
        return 1;
    PyObject *pair = PyList_GET_ITEM(side->pairs, side->at);
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)))
        return 0;
    PyObject *key = PyTuple_GET_ITEM(pair, 0);
    side->length = PyBytes_GET_SIZE(key) - side->known;
    side->bytes = PyBytes_AS_STRING(key) + side->known;
    return side->length >= 0;
}

static int order(const Side *one, const Side *other)
{
    Py_ssize_t shared = one->length < other->length ? one->length : other->length;
    int found = memcmp(one->bytes, other->bytes, (size_t)shared);
    return found ? found : (one->length > other->length) - (one->length < other->length);
}

static int give(PyObject *found, const Side *side)
{
    PyObject *one = PyBytes_FromStringAndSize(side->bytes, side->length);
    int failed = one == NULL ? -1 : PyList_Append(found, one);
    Py_XDECREF(one);
    return failed;
}

/* pages, known, reverse: how many sides there are; 0 for what is not usual */
static Py_ssize_t usual_sides(PyObject *const *args, Py_ssize_t count, PyObject *names, Side *sides)
{
    if (names != NULL || count != 3 || !PyList_CheckExact(args[0]) || !PyList_CheckExact(args[1]) ||
        !PyBool_Check(args[2]))
        return 0;
    Py_ssize_t width = PyList_GET_SIZE(args[0]);
    if (width > MOST_PAGES || PyList_GET_SIZE(args[1]) != width)
        return 0;
    for (Py_ssize_t place = 0; place < width; place++) {
        PyObject *pairs = PyList_GET_ITEM(args[0], place), *known = PyList_GET_ITEM(args[1], place);
        if (!PyList_CheckExact(pairs) || !PyLong_CheckExact(known))
            return 0;
        sides[place] = (Side){.pairs = pairs, .known = PyLong_AsSsize_t(known), .size = PyList_GET_SIZE(pairs)};
        if (sides[place].known < 0) {
            PyErr_Clear();
            return 0;
        }
        if (!look(&sides[place]))
            return 0;
    }
    return width;
}

/* No Python code runs between the first look and the last: nobody changes the lists meanwhile. */
static PyObject *united(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Side sides[MOST_PAGES];
    Py_ssize_t width = usual_sides(args, count, names, sides);
    PyObject *found = width ? PyList_New(0) : NULL;
    int sign = width && args[2] == Py_True ? -1 : 1;
    while (found != NULL) {
        Side *first = NULL;
        for (Py_ssize_t place = 0; place < width; place++)
            if (sides[place].at < sides[place].size && (first == NULL || sign * order(&sides[place], first) < 0))
                first = &sides[place];
        if (first == NULL)
            return found;
        if (give(found, first) < 0) {
            Py_DECREF(found);
            return NULL;
        }
        const Side given = *first;
        for (Py_ssize_t place = 0; place < width; place++) {
            Side *side = &sides[place];
            while (side->at < side->size && order(side, &given) == 0) {
                side->at++;
                if (!look(side)) {
                    Py_DECREF(found);
                    goto unusual;
                }
            }
        }
    }
    if (PyErr_Occurred())
        return NULL;
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

static PyObject *shared(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Side sides[MOST_PAGES];
    Py_ssize_t width = usual_sides(args, count, names, sides);
    PyObject *found = width ? PyList_New(0) : NULL;
    int sign = width && args[2] == Py_True ? -1 : 1;
    while (found != NULL) {
        Py_ssize_t same = 1;
        const Side goal = sides[0];
        if (goal.at >= goal.size)
            return found;
        for (Py_ssize_t place = 1; place < width; place++) {
            Side *side = &sides[place];
            while (side->at < side->size && sign * order(side, &goal) < 0) {
                side->at++;
                if (!look(side)) {
                    Py_DECREF(found);
                    goto unusual;
                }
            }
            if (side->at >= side->size)
                return found;
            same += order(side, &goal) == 0;
        }
        if (same == width && give(found, &goal) < 0) {
            Py_DECREF(found);
            return NULL;
        }
        sides[0].at++;
        if (!look(&sides[0])) {
            Py_DECREF(found);
            goto unusual;
        }
    }
    if (PyErr_Occurred())
        return NULL;
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

static PyObject *bytes_of(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t size = 0;
    if (names != NULL || count != 1 || !PyList_CheckExact(args[0]))
        goto unusual;
    for (Py_ssize_t row = 0; row < PyList_GET_SIZE(args[0]); row++) {
        PyObject *pair = PyList_GET_ITEM(args[0], row);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1)))
            goto unusual;
        size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 0)) + PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 1));
    }
    return PyLong_FromSsize_t(size);
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

FUNCTION(united, "(pages, known, reverse)", 0, "What any of some scans found, in order.")
FUNCTION(shared, "(pages, known, reverse)", 0, "What all of some scans found, in order.")
FUNCTION(bytes_of, "(pairs)", 0, "Bytes of keys and values.")
