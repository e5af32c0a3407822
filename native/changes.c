/* What turns the direct entries of a record into others: store/direct_writes.py. */

#include "core.h"

static int is_write(PyObject *write)
{
    return PyTuple_CheckExact(write) && PyTuple_GET_SIZE(write) == 3 && PyLong_CheckExact(PyTuple_GET_ITEM(write, 0)) &&
           PyBytes_CheckExact(PyTuple_GET_ITEM(write, 1)) && PyBytes_CheckExact(PyTuple_GET_ITEM(write, 2));
}

static int are_same(PyObject *one, PyObject *other)
{
    return one == other || (PyBytes_GET_SIZE(one) == PyBytes_GET_SIZE(other) &&
                            memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), (size_t)PyBytes_GET_SIZE(one)) == 0);
}

static int are_same_writes(PyObject *one, PyObject *other)
{
    return PyObject_RichCompareBool(PyTuple_GET_ITEM(one, 0), PyTuple_GET_ITEM(other, 0), Py_EQ) == 1 &&
           are_same(PyTuple_GET_ITEM(one, 1), PyTuple_GET_ITEM(other, 1)) &&
           are_same(PyTuple_GET_ITEM(one, 2), PyTuple_GET_ITEM(other, 2));
}

/* The writes of one entry are behind each other in the result; -1 with an error. */
static int add_change(PyObject *writes, PyObject *removal, PyObject *gone, PyObject *come)
{
    PyObject *away = PyTuple_Pack(3, PyTuple_GET_ITEM(removal, 0), PyTuple_GET_ITEM(gone, 1), PyTuple_GET_ITEM(removal, 1));
    int failed = away == NULL || PyList_Append(writes, away) < 0 || PyList_Append(writes, come) < 0;
    Py_XDECREF(away);
    return failed ? -1 : 0;
}

static PyObject *changed(PyObject *kept, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !PyTuple_CheckExact(args[0]) || !PyList_CheckExact(args[1]) || !PyList_CheckExact(args[2]) ||
        PyList_GET_SIZE(args[1]) != PyTuple_GET_SIZE(args[0]) || PyList_GET_SIZE(args[2]) != PyTuple_GET_SIZE(args[0]))
        goto slow;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(args[0]); at++) {
        PyObject *removal = PyTuple_GET_ITEM(args[0], at);
        if (!PyTuple_CheckExact(removal) || PyTuple_GET_SIZE(removal) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(removal, 1)) ||
            !is_write(PyList_GET_ITEM(args[1], at)) || !is_write(PyList_GET_ITEM(args[2], at)))
            goto slow; /* amounts */
    }
    PyObject *writes = PyList_New(0);
    for (Py_ssize_t at = 0; writes != NULL && at < PyTuple_GET_SIZE(args[0]); at++) {
        PyObject *gone = PyList_GET_ITEM(args[1], at), *come = PyList_GET_ITEM(args[2], at);
        if (!are_same_writes(gone, come) && add_change(writes, PyTuple_GET_ITEM(args[0], at), gone, come) < 0)
            Py_CLEAR(writes);
    }
    return writes;
slow:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, NULL);
}

static PyMethodDef changed_method = {
    "changed", (PyCFunction)(void (*)(void))changed, METH_FASTCALL,
    "changed(removals, before, after, /)\n--\n\nThe writes that turn entries into others: recordlayer.store.direct_writes, "
    "in C."};

const char make_changed_doc[] = "make_changed(changed, /)\n--\n\n`changed` in C; the function of recordlayer.store.direct_writes "
                                "takes what is rare.";

PyObject *make_changed(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "make_changed takes changed");
        return NULL;
    }
    return closure(&changed_method, PyTuple_Pack(1, args[0]));
}
