/* Reading a range off a cursor of LMDB, and how much of it makes a chunk: kv/embedded/scanning.py.

   The cursor is that of the Python package: its methods are called from here. What they raise is raised. */

#include "core.h"

#define LOOK_UP 4096 /* rows after which somebody may interrupt */

static int below(PyObject *left, PyObject *right)
{
    Py_ssize_t a = PyBytes_GET_SIZE(left), b = PyBytes_GET_SIZE(right);
    int order = memcmp(PyBytes_AS_STRING(left), PyBytes_AS_STRING(right), (size_t)(a < b ? a : b));
    return order < 0 || (order == 0 && a < b);
}

/* Whether a method of the cursor says yes; -1 if it raised. */
static int says(PyObject *cursor, const char *method, PyObject *argument)
{
    PyObject *name = PyUnicode_InternFromString(method);
    if (name == NULL)
        return -1;
    PyObject *args[2] = {cursor, argument};
    PyObject *answer = PyObject_VectorcallMethod(name, args, argument == NULL ? 1 : 2, NULL);
    Py_DECREF(name);
    int yes = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return yes;
}

/* Rows from where the cursor is, until `limit` of them or a key at the other side of `bound`. */
static PyObject *taken(PyObject *cursor, int reverse, PyObject *bound, Py_ssize_t limit)
{
    PyObject *found = PyList_New(0), *rows = NULL;
    if (found != NULL)
        rows = PyObject_CallMethod(cursor, reverse ? "iterprev" : "iternext", NULL);
    if (rows == NULL || !PyIter_Check(rows)) {
        if (rows != NULL)
            PyErr_SetString(PyExc_TypeError, "a cursor gives an iterator");
        Py_XDECREF(rows);
        Py_XDECREF(found);
        return NULL;
    }
    for (Py_ssize_t count = 0; count < limit; count++) {
        PyObject *row = count && count % LOOK_UP == 0 && PyErr_CheckSignals() < 0 ? NULL : PyIter_Next(rows);
        if (row == NULL)
            break;
        PyObject *key = PyTuple_CheckExact(row) && PyTuple_GET_SIZE(row) == 2 ? PyTuple_GET_ITEM(row, 0) : NULL;
        if (key == NULL || !PyBytes_CheckExact(key))
            PyErr_SetString(PyExc_TypeError, "a cursor gives pairs of bytes");
        else if (reverse ? below(key, bound) : !below(key, bound))
            limit = 0;
        else
            PyList_Append(found, row);
        Py_DECREF(row);
        if (limit == 0 || PyErr_Occurred())
            break;
    }
    Py_DECREF(rows);
    if (PyErr_Occurred())
        Py_CLEAR(found);
    return found;
}

/* cursor, begin, end, limit */
static int usual(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t *limit)
{
    if (names != NULL || count != 4 || !PyBytes_CheckExact(args[1]) || !PyBytes_CheckExact(args[2]) ||
        !PyLong_CheckExact(args[3]))
        return 0;
    *limit = PyLong_AsSsize_t(args[3]);
    if (*limit == -1)
        PyErr_Clear();
    return *limit > 0;
}

static PyObject *forward(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t limit;
    if (!usual(args, count, names, &limit))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    int there = PyBytes_GET_SIZE(args[1]) ? says(args[0], "set_range", args[1]) : says(args[0], "first", NULL);
    if (there < 0)
        return NULL;
    return there ? taken(args[0], 0, args[2], limit) : PyList_New(0);
}

static PyObject *backward(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t limit;
    if (!usual(args, count, names, &limit))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    int there = says(args[0], "set_range", args[2]);
    if (there >= 0)
        there = there ? says(args[0], "prev", NULL) : says(args[0], "last", NULL);
    if (there < 0)
        return NULL;
    return there ? taken(args[0], 1, args[1], limit) : PyList_New(0);
}

/* Of pairs how many it takes until their bytes are `wanted`, 0 if all of them are less; and the bytes of all. */
static PyObject *bytes_until(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t wanted, size = 0, enough = 0;
    if (names != NULL || count != 2 || !PyList_CheckExact(args[0]) || !PyLong_CheckExact(args[1]))
        goto unusual;
    wanted = PyLong_AsSsize_t(args[1]);
    if (wanted == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        goto unusual;
    }
    for (Py_ssize_t row = 0; row < PyList_GET_SIZE(args[0]); row++) {
        PyObject *pair = PyList_GET_ITEM(args[0], row);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1)))
            goto unusual;
        size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 0)) + PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 1));
        if (!enough && size >= wanted)
            enough = row + 1;
    }
    return Py_BuildValue("nn", enough, size);
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

FUNCTION(forward, "(cursor, begin, end, limit)", 0, "Pairs of a range, ascending.")
FUNCTION(backward, "(cursor, begin, end, limit)", 0, "Pairs of a range, descending.")
FUNCTION(bytes_until, "(rows, wanted)", 0, "How many pairs have so many bytes, and the bytes of all.")
