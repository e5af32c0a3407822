/* The first step of a coroutine, which mostly is the last: waiting/drivers.py. */

#include "core.h"

static PyObject *step(PyObject *kept, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || args[2] != Py_None || !PyCoro_CheckExact(args[0]) || !PyList_CheckExact(args[1]))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, NULL);
    PyObject *result;
    switch (PyIter_Send(args[0], Py_None, &result)) {
    case PYGEN_RETURN: /* without an exception that carries the result */
        return result;
    case PYGEN_NEXT: {
        int failed = PyList_Append(args[1], result) < 0;
        Py_DECREF(result);
        if (failed)
            return NULL;
        Py_RETURN_NONE;
    }
    default:
        return NULL;
    }
}

static PyMethodDef step_method = {
    "step", (PyCFunction)(void (*)(void))step, METH_FASTCALL,
    "step(core, waiting, error, /)\n--\n\nOne step of a coroutine: recordlayer.waiting.drivers, in C."};

const char make_step_doc[] = "make_step(step, /)\n--\n\n`step` in C; the function of recordlayer.waiting.drivers takes what is "
                             "rare.";

PyObject *make_step(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "make_step takes step");
        return NULL;
    }
    return closure(&step_method, PyTuple_Pack(1, args[0]));
}
