using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace GMix.Data;

/// <summary>
/// Runs a sequence on a thread of its own, a bounded number of items ahead of who takes them. The order stays; an exception of the sequence is
/// thrown to the taker, after the items before it; disposed at any point it ends the thread and disposes the items that nobody took.
/// </summary>
/// <typeparam name="T">What is prepared.</typeparam>
internal sealed class Prefetcher<T> : IDisposable where T : class, IDisposable
{
    private readonly BlockingCollection<T> _ready;
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _thread;
    private Exception? _failure;

    /// <param name="source">The sequence; enumerated on the new thread.</param>
    /// <param name="depth">Items that wait to be taken, at most; one more may be in the making.</param>
    /// <param name="name">The thread's name.</param>
    public Prefetcher(IEnumerable<T> source, int depth, string name)
    {
        _ready = new BlockingCollection<T>(depth);
        // a background thread never keeps the process alive
        _thread = new Thread(() => Work(source)) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Waits for the next item; false at the end.</summary>
    public bool TryNext([NotNullWhen(true)] out T? item)
    {
        if (_ready.TryTake(out item, Timeout.Infinite)) return true;
        if (_failure is not null) ExceptionDispatchInfo.Throw(_failure);
        return false;
    }

    private void Work(IEnumerable<T> source)
    {
        try
        {
            foreach (var item in source)
            {
                try
                {
                    _ready.Add(item, _stop.Token);
                }
                catch
                {
                    item.Dispose();
                    throw;
                }
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // nobody wants the rest
        }
        catch (Exception e)
        {
            _failure = e;
        }
        finally
        {
            _ready.CompleteAdding();
        }
    }

    /// <summary>Ends the thread, after the item in the making, and disposes what nobody took.</summary>
    public void Dispose()
    {
        _stop.Cancel();
        _thread.Join();
        while (_ready.TryTake(out var item)) item.Dispose();
        _ready.Dispose();
        _stop.Dispose();
    }
}
