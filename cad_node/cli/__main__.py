from cad_node.cli.main import main

main()
